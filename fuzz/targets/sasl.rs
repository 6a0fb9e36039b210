//! What a client says during AUTH. The properties are in `src/sasl.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::sasl::check(data));
