//! Addresses, domains and xtext. The properties are in `src/address.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::address::check(data));
