//! Runs [`waft_fuzz::announce`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waft_fuzz::announce::run(data));
