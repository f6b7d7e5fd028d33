//! Sockets and system calls; the only `unsafe`.
