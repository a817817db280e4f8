//! Group E, concurrency: several clients, processes and Python beside us.
