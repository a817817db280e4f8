//! What happens, told while it happens: streams of the service, the command line, and how fast it went.

mod crowd;
mod follow;
mod replay;
mod stream;
mod throughput;

use serde_json::Value;

use crate::support::Stream;

/// One event of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Told {
    /// The number of a durable event.
    #[track_caller]
    pub(crate) fn number(&self) -> i64 {
        let id = self.id.as_deref().unwrap();
        id.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Whether it is a line of the trail about that model with that new state.
    pub(crate) fn says(&self, model: &str, state: &str) -> bool {
        self.name == "job" && self.data["model_id"] == model && self.data["to_state"] == state
    }
}

/// The next event; none at the end of the stream.
pub(crate) fn next(stream: &mut Stream) -> Option<Told> {
    loop {
        let fields = stream.next_event()?;
        let field = |name: &str| {
            let mut found = fields.iter().filter(|(field, _)| field == name);
            found.next().map(|(_, value)| value.clone())
        };
        // `retry:` stands alone.
        let Some(data) = field("data") else { continue };
        return Some(Told {
            name: field("event").unwrap(),
            id: field("id"),
            data: serde_json::from_str(&data).unwrap(),
        });
    }
}

/// All events up to and with the first one that fits.
#[track_caller]
pub(crate) fn until(stream: &mut Stream, fits: impl Fn(&Told) -> bool) -> Vec<Told> {
    let mut told = Vec::new();
    loop {
        let Some(event) = next(stream) else {
            panic!("the stream ended before it came: {told:#?}");
        };
        told.push(event);
        if told.last().is_some_and(&fits) {
            return told;
        }
        assert!(told.len() < 10_000, "it never comes");
    }
}

/// The numbers of the lines of the trail among them.
pub(crate) fn numbers(told: &[Told]) -> Vec<i64> {
    let lines = told.iter().filter(|event| event.name == "job");
    lines.map(Told::number).collect()
}
