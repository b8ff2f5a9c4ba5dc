//! The data model and the protocol of tidings.
#![no_std]

extern crate alloc;

pub mod store;
