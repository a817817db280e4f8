//! The engine against sources that cut, stall, lie and refuse, and owners that lock, fence and fail.

mod fixture;
mod scripted;
mod watcher;

mod basics;
mod bench;
mod disk;
mod faults;
mod limits;
mod owner;
mod part;
mod resume;
