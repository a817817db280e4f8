//! `queue`: what stands in the queue and who works on it.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output;
use super::status::{percent, size};
use crate::domain::QueueStatus;

pub(crate) async fn run(context: &Context) -> Result<Exit, CliError> {
    let output = context.output;
    let manager = context.open().await?;
    let queue = manager.get_queue_status().await?;
    if output.is_json() {
        output::json(&queue)?;
        return Ok(Exit::Done);
    }
    for line in summary(&queue) {
        output::line(&line)?;
    }
    let rows: Vec<[String; 6]> = queue
        .queue
        .iter()
        .map(|entry| {
            let doing = match (&entry.waiting, entry.phase) {
                (Some(waiting), _) => {
                    let until = waiting.until.format("%H:%M:%S UTC");
                    format!("{} by {until}", waiting.reason)
                }
                (None, Some(phase)) => phase.to_string(),
                (None, None) => String::new(),
            };
            [
                entry
                    .queue_position
                    .map_or_else(String::new, |place| place.to_string()),
                entry.model_id.to_string(),
                entry.state.clone(),
                doing,
                percent(&entry.progress),
                size(&entry.progress),
            ]
        })
        .collect();
    if !rows.is_empty() {
        output::table(["PLACE", "MODEL", "STATE", "DETAIL", "DONE", "SIZE"], &rows)?;
    }
    Ok(Exit::Done)
}

fn summary(queue: &QueueStatus) -> Vec<String> {
    let working = match (&queue.summary.currently_downloading, holder(queue)) {
        (Some(model), Some(holder)) => format!("downloading {model} by {holder}"),
        (Some(model), None) => format!("downloading {model}"),
        (None, Some(holder)) => format!("idle, ready to work: {holder}"),
        (None, None) if queue.summary.queue_size == 0 => "nobody works".to_owned(),
        (None, None) => "nobody works: run `modelhaul serve` or `modelhaul pull`".to_owned(),
    };
    let mut lines = vec![format!(
        "{} waiting in the queue; {working}",
        queue.summary.queue_size
    )];
    if queue.paused {
        lines.push("the queue is paused: `modelhaul resume --queue` ends it".to_owned());
    }
    lines.extend(super::limit::sentence(&queue.summary.limit));
    if queue.downloads_disabled {
        lines.push("downloads are disabled by DISABLE_MODEL_DOWNLOADS".to_owned());
    }
    lines
}

/// Who holds the lease, as text.
pub(crate) fn holder(queue: &QueueStatus) -> Option<String> {
    queue.lease.as_ref().map(|lease| lease.holder.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_who_works_and_what_stops_it() {
        let mut queue: QueueStatus = serde_json::from_value(serde_json::json!({
            "queue_size": 2, "running": false, "currently_downloading": null,
            "paused": true, "downloads_disabled": true, "queue": [], "lease": null,
        }))
        .unwrap();
        let text = summary(&queue).join("\n");
        assert!(
            text.starts_with("2 waiting in the queue; nobody works"),
            "{text}"
        );
        assert!(text.contains("resume --queue") && text.contains("DISABLE_MODEL_DOWNLOADS"));
        queue.lease = serde_json::from_value(serde_json::json!({
            "token": 1, "holder": "host:42", "beat": 1, "locked": true, "acquired_at": "2026-01-01T00:00:00Z",
            "renewed_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T00:00:15Z",
        }))
        .unwrap();
        assert!(summary(&queue)[0].ends_with("ready to work: host:42"));
    }
}
