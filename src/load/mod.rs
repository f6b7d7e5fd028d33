//! Traffic for a resolver.
