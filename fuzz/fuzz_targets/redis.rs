//! Fuzzes `tidings_fuzz::redis`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidings_fuzz::redis::run(data));
