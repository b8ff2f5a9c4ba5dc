//! The deterministic world that the core is tried in.
//!
//! A [`World`](world::World) drives some [`Node`](tidings_core::node::Node)s exactly as a real
//! driver does: it feeds them inputs, carries out their outputs, and gives them clocks, a network and
//! disks that fail in every way we could think of. Time is virtual and everything random comes from
//! one seed, so that a run of an hour takes seconds and a failure is one number.
//!
//! - [`scenario`]: what a run is made of; read from TOML, or drawn from a seed. [`timeline`]: what
//!   happens when, as an explicit list.
//! - [`world`]: the event queue, the clocks, the processes.
//! - [`network`]: connections that stall, drop and break. [`disk`]: disks that lose, tear and roll
//!   back. [`faults`]: what goes wrong. [`workload`]: what users do meanwhile.
//! - [`checker`]: the history of what was asked and answered, and what must be true of it.
//!   [`invariants`]: what must be true of the copies. [`converge`]: what must be true in the end.
//! - [`measure`]: what is measured on the way. [`sometimes`]: which faults and rare branches were
//!   reached. [`trace`]: one hash over it all.
//! - [`run`](mod@run): one run. [`campaign`]: many, in parallel. [`report`]: a page of figures.
//!   [`failure`]: the folder of a failed run. [`shrink`](mod@shrink): makes it small.
//! - [`cluster`]: a simulated cluster for the tests of other programs.

mod accidents;
pub mod campaign;
pub mod checker;
pub mod cluster;
mod complete;
mod connections;
pub mod converge;
mod counting;
mod deletes;
pub mod disk;
mod driver;
pub mod failure;
pub mod faults;
mod finals;
mod following;
mod generations;
pub mod history;
pub mod invariants;
pub mod look;
pub mod measure;
pub mod network;
pub mod process;
pub mod random;
pub mod report;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod sometimes;
pub mod timeline;
pub mod trace;
pub mod workload;
pub mod world;
