//! What has been learned, in a fixed memory.

use std::time::Duration;

/// How much is kept, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Bytes for all caches together.
    pub memory: u64,
    /// Records with a smaller TTL are kept this long.
    pub min_ttl: Duration,
    /// Records with a larger TTL are kept this long.
    pub max_ttl: Duration,
    /// Negative answers are kept no longer (RFC 2308 §5).
    pub max_negative_ttl: Duration,
    /// Popular answers are refreshed ahead of their expiry.
    pub prefetch: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            memory: 256 << 20,
            min_ttl: Duration::ZERO,
            max_ttl: Duration::from_secs(86_400),
            max_negative_ttl: Duration::from_secs(3_600),
            prefetch: true,
        }
    }
}
