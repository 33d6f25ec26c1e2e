//! What a client sends, as the monitor reads it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| obit_fuzz::client_message::check(input));
