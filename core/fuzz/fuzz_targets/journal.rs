//! Runs [`waft_fuzz::journal`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waft_fuzz::journal::run(data));
