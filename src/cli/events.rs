//! `events`: what has happened, and with `--follow` what happens, read from the database itself.
//!
//! A running service is not needed and not asked; its writes show here within a tenth of a second.

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::{self, Output};
use super::progress::line;
use crate::domain::{Event, EventId, InvalidEventId, LiveEvent};
use crate::manager::{Beginning, PAGE, UnifiedModelDownloadManager};

/// Lines that are shown when nobody says from where on.
const LAST: i64 = 20;

/// From where on, and how long.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Go on with what happens, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
    /// Begin behind this event; 0 means with the oldest [default: the last 20, and with --follow from now on].
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

/// A line of `--format json`: what a stream of the service calls the same.
#[derive(Debug, Serialize)]
struct Line<'e> {
    event: &'static str,
    id: Option<String>,
    data: &'e LiveEvent,
}

pub(crate) async fn run(context: &Context, args: &EventsArgs) -> Result<Exit, CliError> {
    let after = args.after.as_deref().map(str::parse).transpose();
    let after =
        after.map_err(|error: InvalidEventId| CliError::Usage(format!("--after: {error}")))?;
    let manager = context.open().await?;
    let (epoch, mut position) = begin(context.output, &manager, after, args.follow).await?;
    loop {
        let lines = manager.lines_after(&epoch, position, None).await?;
        position = last(&lines).unwrap_or(position);
        show(context.output, &lines)?;
        if lines.len() < PAGE as usize {
            break;
        }
    }
    if !args.follow {
        return Ok(Exit::Done);
    }
    let following = async {
        let mut feed = manager.feed_after(epoch, position);
        loop {
            let events = feed.step().await?;
            // Written at once: whoever reads a pipe wants to see it now.
            show(context.output, &events)?;
        }
    };
    // The first signal is the usual end of it.
    context
        .unless_stopped(Box::pin(following))
        .await
        .unwrap_or(Ok(Exit::Done))
}

/// The position behind which lines are shown; with `--follow` and none given, after a snapshot of everything.
async fn begin(
    output: Output,
    manager: &UnifiedModelDownloadManager,
    after: Option<EventId>,
    follow: bool,
) -> Result<(String, i64), CliError> {
    let reason = match manager.beginning(after.as_ref()).await? {
        Beginning::After(epoch, number) => return Ok((epoch, number)),
        Beginning::Anew(reason) => reason,
    };
    if let Some(reason) = reason {
        show(output, &[LiveEvent::Reset(reason)])?;
    }
    let snapshot = manager.snapshot(None).await?;
    let id = snapshot.id().cloned();
    let (epoch, number) = id.map_or_else(Default::default, |id| {
        (id.epoch.unwrap_or_default(), id.number)
    });
    if follow || reason.is_some() {
        show(output, &[snapshot])?;
        return Ok((epoch, number));
    }
    Ok((epoch, (number - LAST).max(0)))
}

fn last(lines: &[LiveEvent]) -> Option<i64> {
    lines.last().and_then(LiveEvent::id).map(|id| id.number)
}

fn show(output: Output, events: &[LiveEvent]) -> Result<(), CliError> {
    for event in events {
        if output.is_json() {
            output::json(&Line {
                event: event.name(),
                id: event.id().map(ToString::to_string),
                data: event,
            })?;
        } else if let Some(text) = text(event) {
            output::line(&text)?;
        }
    }
    Ok(())
}

/// A line for people; the queue and the speed are in the lines of the jobs already.
fn text(event: &LiveEvent) -> Option<String> {
    match event {
        LiveEvent::Job(id, told) => Some(format!("{:>6}  {}", id.number, trail(&told.event))),
        LiveEvent::Progress(running) => Some(format!("        {}", line(&running.status))),
        LiveEvent::Reset(_) => Some(
            "events behind that id are not kept, or belong to another database; this is what is known now".to_owned(),
        ),
        LiveEvent::Snapshot(id, snapshot) => Some(format!(
            "{:>6}  {} in the queue, {} models with a job",
            id.number,
            snapshot.queue.summary.queue_size,
            snapshot.jobs.len()
        )),
        LiveEvent::Resumed(_)
        | LiveEvent::Queue(_)
        | LiveEvent::Throughput { .. }
        | LiveEvent::Bye(_) => None,
    }
}

/// A line of the audit trail.
fn trail(event: &Event) -> String {
    let mut words = vec![
        event.at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        event.kind.clone(),
    ];
    words.extend(event.model_id.as_ref().map(ToString::to_string));
    words.extend(match (&event.from_state, &event.to_state) {
        (Some(from), Some(to)) => Some(format!("{from} -> {to}")),
        (Some(state), None) | (None, Some(state)) => Some(state.clone()),
        (None, None) => None,
    });
    words.extend(event.detail.as_ref().map(|detail| format!("({detail})")));
    words.join("  ")
}
