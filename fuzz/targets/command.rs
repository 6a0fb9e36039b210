//! The command parser. The properties are in `src/command.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::command::check(data));
