//! What a server says to our client. The properties are in `src/reply.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::reply::check(data));
