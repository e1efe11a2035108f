//! A whole project: files between NUL bytes.
#![no_main]

use compose_spec::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzzing::load_project(bytes));
