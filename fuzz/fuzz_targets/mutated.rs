//! Well-formed packets with faults, as a seed of eight bytes has it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bellwire_broker::fuzzing::mutated(bytes));
