//! Group G, secrets: canaries everywhere, every error forced, nothing found.
