//! `cargo fuzz run --features libfuzzer message`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    maeslant_fuzz::message(data);
});
