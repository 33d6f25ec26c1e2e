//! A recording somebody sent, as `obit replay` reads it and runs it again.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| obit_fuzz::recording::check(input));
