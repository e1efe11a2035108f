//! What each instruction does to a stage.

mod add;
mod copy;
mod devices;
mod meta;
mod mount_files;
mod mounts;
mod owner;
mod run;
mod sandbox;
mod transfer;
mod workdir;

pub(crate) use meta::Edit;
