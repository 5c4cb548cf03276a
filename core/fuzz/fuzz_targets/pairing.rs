//! Runs [`waft_fuzz::pairing`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waft_fuzz::pairing::run(data));
