//! Runs [`waft_fuzz::replay`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waft_fuzz::replay::run(data));
