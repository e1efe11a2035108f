//! The network in the kernel, each test on a host of its own.
#![expect(
    clippy::disallowed_methods,
    reason = "tests drive the kernel with iproute2 and nft, and write their own files"
)]

mod dns;
mod lab;
mod publish;
mod records;
