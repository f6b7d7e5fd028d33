//! The integration tests, one binary: the law of the house, the engine in a simulated Internet, the server on loopback, and
//! other people's servers and clients.

mod cli;
mod load;
mod loopback;
mod oracle;
mod peers;
mod sim;
mod tidy;
