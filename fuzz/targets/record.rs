//! Records of decisions as the store gives them back. The properties are in `src/record.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::record::check(data));
