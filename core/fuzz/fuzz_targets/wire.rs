//! Runs [`waft_fuzz::wire`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waft_fuzz::wire::run(data));
