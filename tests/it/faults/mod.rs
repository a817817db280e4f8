//! Faults, one test per case of the catalogue: the real binary, a hub that lies on command, and the invariants after it.
//!
//! A case is named by its group and number (`a04_…`), writes one line of the conformance table, and is checked
//! against everything in [`kit::Invariants`]. `scripts/conformance` runs them and prints the table.

mod amnesia;
mod beneath;
mod chaos;
mod concurrency;
mod crash;
mod database;
mod door;
mod hang;
mod injected;
mod kills;
mod kit;
mod left;
mod limits;
mod model;
mod namespace;
mod network;
mod power;
mod python;
pub(crate) mod scene;
mod secrets;
mod server;
mod storage;
mod urls;
