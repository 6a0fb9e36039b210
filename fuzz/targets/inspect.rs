//! A message with links. The properties are in `src/inspect.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::inspect::check(data));
