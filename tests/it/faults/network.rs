//! Group A, the network: connections that fail, stall, trickle or break in the middle.
