//! A report of others. The properties are in `src/reports.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::reports::check(data));
