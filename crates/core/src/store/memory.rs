//! The volatile store: for in-memory peers and for tests.
