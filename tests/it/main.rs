//! Tests through the doors: the real binary, the practice hub, real Python.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "in a test a panic is the message, and what was left out is printed"
)]

mod cache_cli;
mod floors;
mod practice_hub;
mod support;
mod verify;
