//! What each instruction does to a stage.

mod add;
mod copy;
mod meta;
mod mounts;
mod owner;
mod run;
mod transfer;
mod workdir;

pub(crate) use meta::Edit;
