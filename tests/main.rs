//! The one integration test binary.

mod peers;
