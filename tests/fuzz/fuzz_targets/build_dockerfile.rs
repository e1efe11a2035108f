//! A Dockerfile.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stack::build::fuzzing;

fuzz_target!(|bytes: &[u8]| fuzzing::parse_dockerfile(bytes));
