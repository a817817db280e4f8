//! `limit`: the bandwidth limit of all downloads, while they run.

use clap::Args;

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output;
use crate::config::parse_rate;
use crate::domain::{LimitOrigin, LimitStatus};

/// Which limit.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// Bytes per second, for example 5MB/s; `off` goes back to configuration and windows [default: only show it].
    #[arg(value_name = "RATE|off")]
    rate: Option<String>,
}

pub(crate) async fn run(context: &Context, args: &LimitArgs) -> Result<Exit, CliError> {
    let wanted = match args.rate.as_deref() {
        None => None,
        Some("off") => Some(None),
        Some(text) => {
            let rate = parse_rate(text).map_err(CliError::Usage)?;
            let rate =
                rate.ok_or_else(|| CliError::Usage("`off` is what ends the limit".to_owned()))?;
            Some(Some(rate))
        }
    };
    let manager = context.open().await?;
    if let Some(limit) = wanted {
        manager.set_bandwidth_limit(limit).await?;
    }
    let limit = manager.get_queue_status().await?.summary.limit;
    if context.output.is_json() {
        output::json(&limit)?;
    } else {
        output::line(&sentence(&limit).unwrap_or_else(|| "no limit".to_owned()))?;
    }
    Ok(Exit::Done)
}

/// The limit and its reason; none when there is no limit.
pub(crate) fn sentence(limit: &LimitStatus) -> Option<String> {
    let rate = match limit.bytes_per_second {
        Some(0) => "downloads stand still".to_owned(),
        Some(rate) => format!("limited to {:.2} MB/s", mega(rate)),
        None => return None,
    };
    let window = limit.window.as_deref().unwrap_or_default();
    Some(match limit.why {
        LimitOrigin::Window => match limit.until {
            Some(until) => {
                format!(
                    "{rate} by the window `{window}` until {}",
                    until.format("%Y-%m-%d %H:%M UTC")
                )
            }
            None => format!("{rate} by the window `{window}`"),
        },
        LimitOrigin::Live => format!("{rate}; `modelhaul limit off` ends it"),
        LimitOrigin::Config | LimitOrigin::None => format!("{rate} by the configuration"),
    })
}

#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn mega(rate: u64) -> f64 {
    rate as f64 / 1e6
}
