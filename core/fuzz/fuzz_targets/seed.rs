//! Runs [`waft_fuzz::seed`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waft_fuzz::seed::run(data));
