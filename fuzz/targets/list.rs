//! Lists of networks, AS numbers and countries as others publish them. The properties are in `src/list.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::list::check(data));
