//! The command line: what it prints where, how it ends, and who works.

mod exits;
mod outputs;
mod pull;
