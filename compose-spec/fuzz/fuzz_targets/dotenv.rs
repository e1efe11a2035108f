//! Environment files.
#![no_main]

use compose_spec::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        fuzzing::read_dotenv(text);
    }
});
