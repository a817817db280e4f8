//! Tests through the doors: the real binary, the practice hub, real Python.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "in a test a panic is the message, and what was left out is printed"
)]

mod api;
mod cache_cli;
mod cli;
mod examples;
mod faulthub;
mod faults;
mod floors;
mod hostile;
mod import;
mod live;
mod lock;
mod memory;
mod mirrors;
mod plan;
mod practice_hub;
mod python;
mod queue;
mod support;
mod verify;
mod web;
mod world;
