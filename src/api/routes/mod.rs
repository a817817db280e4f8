//! One file per endpoint: take the request apart, call the manager, answer.
//!
//! Which address and policy each has is in [`super::table`].

pub(super) mod cache;
pub(super) mod cancel;
pub(super) mod clear;
pub(super) mod config;
pub(super) mod dashboard;
pub(super) mod health;
pub(super) mod job;
pub(super) mod job_attempts;
pub(super) mod job_events;
pub(super) mod job_files;
pub(super) mod jobs;
pub(super) mod metrics;
pub(super) mod model;
pub(super) mod models;
pub(super) mod pause;
pub(super) mod plan;
pub(super) mod queue;
pub(super) mod ready;
pub(super) mod resume;
pub(super) mod retry;
pub(super) mod session;
pub(super) mod start;
pub(super) mod status;
pub(super) mod templates;
pub(super) mod verify;
pub(super) mod wait;
