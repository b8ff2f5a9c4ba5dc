//! The data model and the protocol of tidings.
#![no_std]

extern crate alloc;

pub mod backup;
pub mod clock;
pub mod counter;
pub mod definition;
pub mod directory;
pub mod error;
pub mod filter;
pub mod ident;
pub mod interval;
pub mod limits;
pub mod matcher;
pub mod membership;
pub mod message;
pub mod name;
pub mod node;
pub mod outline;
pub mod planted;
pub mod position;
pub mod read;
pub mod record;
pub mod registry;
pub mod replica;
pub mod rows;
pub mod stamp;
pub mod status;
pub mod store;
pub mod vector;
pub mod wire;
