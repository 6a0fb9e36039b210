//! DATA, both ways. The properties are in `src/body.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::body::check(data));
