//! BDAT chunks. The properties are in `src/bdat.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::bdat::check(data));
