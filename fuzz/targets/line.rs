//! Framing of command lines. The properties are in `src/line.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::line::check(data));
