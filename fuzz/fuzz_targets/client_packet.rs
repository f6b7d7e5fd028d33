//! `cargo fuzz run --features libfuzzer client_packet`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    maeslant_fuzz::client_packet(data);
});
