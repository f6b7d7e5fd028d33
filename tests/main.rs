//! The integration tests, one binary: the law of the house, the engine in a simulated Internet, and
//! other people's servers and clients.

mod peers;
mod sim;
mod tidy;
