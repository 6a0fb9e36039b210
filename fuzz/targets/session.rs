//! A whole session under any split. The properties are in `src/session.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::session::check(data));
