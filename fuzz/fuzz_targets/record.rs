//! What lies in the ring buffers, as the monitor reads it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| obit_fuzz::record::check(input));
