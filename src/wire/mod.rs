//! DNS messages.
