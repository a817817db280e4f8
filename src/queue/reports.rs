//! What an app's own download function says of itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::live::LiveJob;
use super::run::Run;
use crate::clock::Clock;

/// Says how far a download function is; clones say it of the same job.
///
/// What was said is shown like the progress of any other job: at once to readers in this process, within a second to
/// others. Numbers never go down: less than before changes nothing.
#[derive(Debug, Clone)]
pub struct HandlerProgress {
    live: Arc<LiveJob>,
    clock: Arc<dyn Clock>,
}

impl HandlerProgress {
    pub(super) fn new(run: &Run) -> Self {
        Self {
            live: Arc::clone(&run.live),
            clock: Arc::clone(&run.context.clock),
        }
    }

    /// So many bytes of the model are here, those of earlier attempts included.
    pub fn bytes(&self, done: u64) {
        self.live.told(done, self.clock.now());
    }

    /// So many files of the model are whole.
    pub fn files(&self, done: u64) {
        self.live.files_done.fetch_max(done, Ordering::Relaxed);
    }

    /// The file that is being fetched, as people should see it; none between two files.
    pub fn current_file(&self, name: Option<&str>) {
        self.live.set_current_file(name.map(str::to_owned));
    }
}
