//! Private keys of ssh.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stack::build::fuzzing;

fuzz_target!(|bytes: &[u8]| fuzzing::read_ssh_key(bytes));
