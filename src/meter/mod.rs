//! Counting without policy: rates, who was seen before, how many are behind one address, who is
//! loudest, how long things take.
//!
//! All of it stands in tables that are made once and never grow, whatever senders invent. Tables are
//! atomics without a lock, so that all shards share them and a limit means the same with one shard or
//! sixty-four. Keys that a sender chooses are hashed with a [`Secret`].

mod distinct;
mod histogram;
mod loudest;
mod points;
mod rates;
mod secret;
mod seen;

pub use distinct::Distinct;
pub use histogram::Histogram;
pub use loudest::{Loudest, source_of};
pub use points::Points;
pub use rates::{Load, Rate, Table};
pub use secret::{Hash, Secret};
pub use seen::Seen;
