//! Our client, and a host that says what it likes. The properties are in `src/dialogue.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::dialogue::check(data));
