//! The queue through the doors: crashes, rivals, and whatever people and hubs do to a download.

mod accepted;
mod crash;
pub(crate) mod disk;
mod embed;
pub(crate) mod kit;
mod order;
mod retry;
mod s3;
mod steer;
mod stop;
pub(crate) mod takeover;
pub(crate) mod urls;
mod webhooks;
mod windows;
