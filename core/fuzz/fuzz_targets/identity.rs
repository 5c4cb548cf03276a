//! Runs [`waft_fuzz::identity`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waft_fuzz::identity::run(data));
