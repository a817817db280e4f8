//! Group F and G, the HTTP door: bad input, foreign sites, slow and many clients.
