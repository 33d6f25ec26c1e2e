//! What the monitor sends, as a client reads it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| obit_fuzz::monitor_message::check(input));
