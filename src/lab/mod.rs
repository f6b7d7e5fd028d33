//! A small Internet on loopback.
