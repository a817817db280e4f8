//! What is told while it happens: the same objects on a stream, on the command line and by asking.
//!
//! Lines of the audit trail carry a number and can be told again; numbers in between are only as good as their moment.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Event, JobId, JobState, ModelStatus, QueueStatus};

/// A line of the audit trail, and the database that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventId {
    /// The database; none when the caller did not say.
    pub epoch: Option<String>,
    /// The number of the line; 0 stands before the first one.
    pub number: i64,
}

/// A text that names no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event is a number, or `epoch:number` as the stream gives it")]
pub struct InvalidEventId;

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(epoch) = &self.epoch {
            write!(formatter, "{epoch}:")?;
        }
        write!(formatter, "{}", self.number)
    }
}

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        let (epoch, number) = match text.split_once(':') {
            Some((epoch, number)) => (Some(epoch), number),
            None => (None, text),
        };
        let word = |text: &str| {
            (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        // The parser of integers takes a sign, which no id has.
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        if !digits || epoch.is_some_and(|epoch| !word(epoch)) {
            return Err(InvalidEventId);
        }
        Ok(Self {
            epoch: epoch.map(str::to_owned),
            number: number.parse().map_err(|_too_large| InvalidEventId)?,
        })
    }
}

/// Which process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ServerInfo {
    /// The version of modelhaul.
    pub version: &'static str,
    /// Another word for each start of a process.
    pub instance: String,
    /// When the process began to answer.
    pub started_at: DateTime<Utc>,
    /// Its clock now.
    pub now: DateTime<Utc>,
}

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Snapshot {
    /// Who answers.
    pub server: ServerInfo,
    /// The queue with the first 100 of its jobs.
    pub queue: QueueStatus,
    /// The models of the queue's jobs in their order, then those whose jobs ended last.
    pub jobs: Vec<ModelStatus>,
    /// Whether there are more models with a job than are listed.
    pub truncated: bool,
}

/// What is told first to whom an earlier position is continued.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Resumed {
    /// Who answers.
    pub server: ServerInfo,
    /// The event behind which it goes on.
    pub after: String,
    /// The queue now.
    pub queue: QueueStatus,
}

/// Why an earlier position cannot be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetReason {
    /// The event belongs to another database.
    OtherDatabase,
    /// Events behind it were removed because of their age.
    TooOld,
    /// There is no such event yet: the database was brought back from an older copy.
    Unknown,
}

/// A line of the audit trail, with where its model stands when it is told.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct JobEvent {
    /// The line.
    #[serde(flatten)]
    pub event: Event,
    /// The status of its model, when it is about one that is registered.
    pub status: Option<Box<ModelStatus>>,
}

/// A file that is being received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FileProgress {
    /// Its path in the repository.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// Bytes of it that are here.
    pub received: u64,
}

/// The status of a model whose job runs, and the files under way.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RunningJob {
    /// The status.
    #[serde(flatten)]
    pub status: ModelStatus,
    /// At most 16 files that are being received.
    pub files: Vec<FileProgress>,
}

/// Something that is told while it happens.
#[derive(Debug, Clone, PartialEq)]
pub enum LiveEvent {
    /// Everything; the position from which it goes on.
    Snapshot(EventId, Box<Snapshot>),
    /// An earlier position is continued.
    Resumed(Box<Resumed>),
    /// An earlier position cannot be continued; a snapshot follows.
    Reset(ResetReason),
    /// A line of the audit trail.
    Job(EventId, Box<JobEvent>),
    /// How far the running job is.
    Progress(Box<RunningJob>),
    /// The queue has changed.
    Queue(Box<QueueStatus>),
    /// How fast it went in the second that began at `t` (unix time).
    Throughput {
        /// The second.
        t: i64,
        /// Bytes that were received in it.
        bytes_per_second: u64,
    },
    /// Nothing more is told on this stream: `shutdown`, `lagged` or `ended`.
    Bye(&'static str),
}

impl LiveEvent {
    /// The word for what it is.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Snapshot(..) => "snapshot",
            Self::Resumed(_) => "resumed",
            Self::Reset(_) => "reset",
            Self::Job(..) => "job",
            Self::Progress(_) => "progress",
            Self::Queue(_) => "queue",
            Self::Throughput { .. } => "throughput",
            Self::Bye(_) => "bye",
        }
    }

    /// The position after it, when it is durable.
    pub fn id(&self) -> Option<&EventId> {
        match self {
            Self::Snapshot(id, _) | Self::Job(id, _) => Some(id),
            _ => None,
        }
    }

    /// The job that it is about, when it is about a single one.
    pub fn job_id(&self) -> Option<JobId> {
        match self {
            Self::Job(_, line) => line.event.job_id,
            Self::Progress(running) => running.status.job_id,
            _ => None,
        }
    }
}

impl LiveEvent {
    /// Whether the job that it is about has ended with it.
    pub fn ends_job(&self) -> bool {
        let Self::Job(_, line) = self else {
            return false;
        };
        let state = line.event.to_state.as_deref();
        state.is_some_and(|state| state.parse().is_ok_and(JobState::is_final))
    }
}

/// What it says, without name and id.
impl Serialize for LiveEvent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Running<'e> {
            jobs: [&'e RunningJob; 1],
        }
        #[derive(Serialize)]
        struct Second {
            t: i64,
            bytes_per_second: u64,
        }
        #[derive(Serialize)]
        struct Reason<R> {
            reason: R,
        }
        match self {
            Self::Snapshot(_, snapshot) => snapshot.serialize(serializer),
            Self::Resumed(resumed) => resumed.serialize(serializer),
            Self::Reset(reason) => Reason { reason }.serialize(serializer),
            Self::Job(_, line) => line.serialize(serializer),
            Self::Progress(running) => Running { jobs: [running] }.serialize(serializer),
            Self::Queue(queue) => queue.serialize(serializer),
            &Self::Throughput {
                t,
                bytes_per_second,
            } => Second {
                t,
                bytes_per_second,
            }
            .serialize(serializer),
            Self::Bye(reason) => Reason { reason }.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_and_nothing_else_is_one() {
        for text in ["0", "41", "a1b2c3d4:41"] {
            assert_eq!(text.parse::<EventId>().unwrap().to_string(), text);
        }
        for text in [
            "",
            ":",
            "a:",
            ":1",
            "-1",
            "+1",
            "1:-1",
            "x",
            "a b:1",
            "1:2:3",
            "99999999999999999999",
            " 1",
        ] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }
}
