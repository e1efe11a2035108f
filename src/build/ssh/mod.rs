//! What ssh in a build signs with: the caller's agent, or keys from files, behind a socket that speaks the agents' protocol.
//!
//! Keys of files are read when a step needs them and forgotten with it. Passphrases are never asked for: whoever has an encrypted key has an
//! agent for it. Nothing of a key is ever shown, logged or part of a cache key.

mod agent;
mod arithmetic;
mod key;
mod relay;
#[cfg(test)]
pub(super) mod samples;
mod wire;

pub(super) use agent::Agent;
pub use agent::SshError;
pub use key::KeyError;
pub(super) use key::read_key;
pub(super) use relay::Relay;
