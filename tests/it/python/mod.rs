//! Real Python before and after modelhaul on the same cache: each finds and respects the other's work.

mod finds;
mod shares;
mod types;
