//! Any bytes from someone who has just connected.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bellwire_broker::fuzzing::stranger(bytes));
