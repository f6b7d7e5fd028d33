//! TOML text, what was written, checked policies.

/// Everything the running program needs, lowered from one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Shards; at least 1.
    pub workers: usize,
    pub listener: crate::listener::Policy,
    pub upstream: crate::upstream::Policy,
    pub engine: crate::engine::Policy,
    pub cache: crate::cache::Policy,
    pub cache_clock: CacheClock,
    pub log: LogPolicy,
}

/// The clock by which cached data ages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CacheClock {
    #[default]
    Monotonic,
    Wall,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPolicy {
    /// `error | warn | info | debug | trace`.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}
