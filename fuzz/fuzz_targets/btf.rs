//! The kernel's type information, as the monitor reads it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| obit_fuzz::btf::check(input));
