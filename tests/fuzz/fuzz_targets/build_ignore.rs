//! An ignore file, asked about a path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stack::build::fuzzing;

fuzz_target!(|bytes: &[u8]| fuzzing::match_ignore(bytes));
