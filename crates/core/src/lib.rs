//! The data model and the protocol of tidings.
#![no_std]

extern crate alloc;

pub mod definition;
pub mod error;
pub mod ident;
pub mod limits;
pub mod matcher;
pub mod name;
pub mod registry;
pub mod stamp;
pub mod status;
pub mod store;
