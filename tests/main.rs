//! The integration tests, one binary: the law of the house, and the engine in a simulated Internet.

mod sim;
mod tidy;
