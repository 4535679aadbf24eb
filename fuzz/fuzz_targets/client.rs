//! Any bytes from a client that was let in; the first byte chooses the version.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bellwire_broker::fuzzing::client(bytes));
