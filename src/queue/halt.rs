//! Why a running job must stop before its end; the first cause wins.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

/// Why a running job stops. Each has its own way back into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Someone cancelled it.
    Cancelled,
    /// Someone paused it.
    Paused,
    /// The service stops.
    Stopping,
    /// The lease is lost: nothing may be written any more.
    Fenced,
}

/// A stop signal with its cause.
#[derive(Debug)]
pub(crate) struct Halt {
    cause: OnceLock<Cause>,
    token: CancellationToken,
}

impl Halt {
    /// A signal that nobody has given yet; `token` ends with it.
    pub(crate) fn new() -> Self {
        Self {
            cause: OnceLock::new(),
            token: CancellationToken::new(),
        }
    }

    /// Gives the signal; a later cause changes nothing.
    pub(crate) fn stop(&self, cause: Cause) {
        self.cause.get_or_init(|| cause);
        self.token.cancel();
    }

    /// The cause, once there is one.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.cause.get().copied()
    }

    /// The token that everything of the job listens to.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }
}
