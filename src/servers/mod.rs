//! What is known of authoritative servers, and choosing one.
