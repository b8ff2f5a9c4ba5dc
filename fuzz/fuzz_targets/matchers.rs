//! Fuzzes `tidings_fuzz::matchers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidings_fuzz::matchers::run(data));
