//! Group C, power loss: only what was synced is left.
