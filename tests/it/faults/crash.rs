//! Group C, crash and kill: the process dies at every step and at any moment.
