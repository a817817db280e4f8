//! Group D, storage: full, read-only, vanished and damaged places.
