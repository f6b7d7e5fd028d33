//! The running program: shards, signals, logging.
