//! The network in the kernel, each test on a host of its own.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests drive the kernel with iproute2 and nft, write their own files, and fail by panicking"
)]

mod dns;
mod hammer;
mod isolation;
mod lab;
mod publish;
mod records;
mod restart;
