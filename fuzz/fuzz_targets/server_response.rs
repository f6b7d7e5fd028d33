//! `cargo fuzz run --features libfuzzer server_response`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    maeslant_fuzz::server_response(data);
});
