//! `cargo fuzz run --features libfuzzer config`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    maeslant_fuzz::config(data);
});
