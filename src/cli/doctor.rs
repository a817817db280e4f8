//! `doctor`: looks at everything a download needs and says what to do about what is missing.
//!
//! Each check is one line: ok, warn or fail. A check shows no secret and changes nothing but what opening the
//! database and writing one byte change.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::Args;
use indicatif::DecimalBytes;
use serde::Serialize;
use tokio::net::{TcpStream, lookup_host};
use url::Url;

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output;
use super::queue;
use crate::manager::{ManagerOptions, UnifiedModelDownloadManager};
use crate::redact::{SafeUrl, Token};

/// Below this much room above the floor a large model does not fit.
const COMFORT: u64 = 10_000_000_000;

/// A clock that shows less is wrong: this version was made later, and certificates would not be valid yet.
const MADE: DateTime<Utc> = match DateTime::from_timestamp(1_790_000_000, 0) {
    Some(made) => made,
    None => DateTime::UNIX_EPOCH,
};

/// Nothing to choose yet.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Ok,
            message: message.into(),
            remedy: None,
        }
    }

    fn warn(name: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warn,
            remedy: Some(remedy.into()),
            ..Self::ok(name, message)
        }
    }

    fn fail(name: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(name, message, remedy)
        }
    }
}

pub(crate) async fn run(context: &Context, _args: &DoctorArgs) -> Result<Exit, CliError> {
    let options = &context.config.manager;
    let mut checks = Vec::new();
    match context.open().await {
        Ok(manager) => with_manager(&manager, options, &mut checks).await,
        Err(error) => checks.push(Check::fail(
            "database",
            error.to_string(),
            format!(
                "check that {} and its folder belong to you and that its disk is not full",
                options.database.display()
            ),
        )),
    }
    checks.push(space(options));
    checks.push(hub(options).await);
    checks.push(token(options));
    checks.push(admin_token(context));
    checks.push(time(context.clock.now()));

    let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
    let output = context.output;
    if output.is_json() {
        output::json(&checks)?;
    } else {
        for check in &checks {
            output::line(&format!(
                "{:<4}  {:<11}  {}",
                check.verdict, check.name, check.message
            ))?;
            if let Some(remedy) = &check.remedy {
                output::line(&format!("{:19}try: {remedy}", ""))?;
            }
        }
    }
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

async fn with_manager(
    manager: &UnifiedModelDownloadManager,
    options: &ManagerOptions,
    checks: &mut Vec<Check>,
) {
    let ready = manager.ready().await;
    let reasons = if ready.reasons.is_empty() {
        "it refuses".to_owned()
    } else {
        ready.reasons.join("; ")
    };
    checks.push(if ready.database {
        Check::ok(
            "database",
            format!("{} takes a row", options.database.display()),
        )
    } else {
        Check::fail(
            "database",
            reasons.clone(),
            "look at its owner, its mode and the room on its disk",
        )
    });
    checks.push(if ready.cache {
        Check::ok(
            "cache",
            format!("{} takes a byte", options.cache_dir.display()),
        )
    } else {
        Check::fail(
            "cache",
            reasons,
            "look at its owner, its mode and the room on its disk, or set HF_HOME",
        )
    });
    let own = manager.templates().iter().filter(|t| !t.builtin).count();
    checks.push(match manager.template_problems() {
        [] => Check::ok(
            "templates",
            format!("{own} of your own beside those built in"),
        ),
        problems => Check::warn(
            "templates",
            problems
                .iter()
                .map(|problem| format!("not used: {problem}"))
                .collect::<Vec<_>>()
                .join("; "),
            "`modelhaul templates check` after mending the file",
        ),
    });
    checks.push(match manager.get_queue_status().await {
        Ok(status) if status.downloads_disabled => Check::warn(
            "worker",
            "downloads are disabled",
            "unset DISABLE_MODEL_DOWNLOADS",
        ),
        Ok(status) if status.paused => Check::warn(
            "worker",
            "the queue is paused",
            "`modelhaul resume --queue`",
        ),
        Ok(status) => match queue::holder(&status) {
            Some(holder) => Check::ok("worker", format!("{holder} works")),
            None if status.summary.queue_size == 0 => {
                Check::ok("worker", "nobody works and nothing is queued")
            }
            None => Check::warn(
                "worker",
                format!(
                    "nobody works and {} jobs are queued",
                    status.summary.queue_size
                ),
                "`modelhaul serve`",
            ),
        },
        Err(error) => Check::fail("worker", error.to_string(), "`modelhaul queue` again"),
    });
}

fn space(options: &ManagerOptions) -> Check {
    const NAME: &str = "space";
    // The cache may not exist yet: the nearest folder above it lies on the same disk.
    let folder = options
        .cache_dir
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or_else(|| Path::new("/"));
    match rustix::fs::statvfs(folder) {
        Ok(disk) => room(
            disk.f_bavail.saturating_mul(disk.f_frsize),
            options.disk_floor,
        ),
        Err(error) => Check::warn(
            NAME,
            format!(
                "the free space of {} is not known: {error}",
                folder.display()
            ),
            "check that its disk is mounted",
        ),
    }
}

fn room(free: u64, floor: u64) -> Check {
    const NAME: &str = "space";
    let text = format!(
        "{} free, {} of it stay free",
        DecimalBytes(free),
        DecimalBytes(floor)
    );
    match free.checked_sub(floor) {
        None | Some(0) => Check::fail(NAME, text, "make room: downloads wait until there is some"),
        Some(room) if room < COMFORT => {
            Check::warn(NAME, text, "make room before you download a large model")
        }
        Some(_) => Check::ok(NAME, text),
    }
}

async fn hub(options: &ManagerOptions) -> Check {
    const NAME: &str = "hub";
    if options.offline {
        return Check::warn(
            NAME,
            "not asked: offline",
            "unset HF_HUB_OFFLINE to download",
        );
    }
    let (what, url) = options
        .proxy
        .as_ref()
        .map_or(("the hub", &options.endpoint), |proxy| ("the proxy", proxy));
    let shown = SafeUrl::new(url.clone());
    let reached = tokio::time::timeout(options.metadata_timeout, connect(url)).await;
    match reached {
        Ok(Ok(address)) => Check::ok(
            NAME,
            format!("{what} {shown} takes connections at {address}"),
        ),
        Ok(Err(error)) => Check::fail(
            NAME,
            format!("{what} {shown} cannot be reached: {error}"),
            "check the network, DNS, HTTPS_PROXY and HF_ENDPOINT",
        ),
        Err(_) => Check::fail(
            NAME,
            format!(
                "{what} {shown} did not answer within {:?}",
                options.metadata_timeout
            ),
            "check the network, the firewall, HTTPS_PROXY and HF_ENDPOINT",
        ),
    }
}

async fn connect(url: &Url) -> std::io::Result<SocketAddr> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(1080);
    let mut last = std::io::Error::other("the name has no address");
    for address in lookup_host((host, port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return stream.peer_addr(),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn token(options: &ManagerOptions) -> Check {
    const NAME: &str = "token";
    if options.token.is_some() {
        return Check::ok(NAME, "given by the environment or the configuration");
    }
    let Some(path) = &options.token_path else {
        return Check::ok(NAME, "none, by HF_HUB_DISABLE_IMPLICIT_TOKEN");
    };
    token_file(path)
}

fn token_file(path: &PathBuf) -> Check {
    use std::os::unix::fs::MetadataExt as _;
    const NAME: &str = "token";
    let shown = path.display();
    match std::fs::read_to_string(path) {
        Ok(text) if Token::parse(&text).is_none() => {
            Check::warn(NAME, format!("{shown} is empty"), "`hf auth login`")
        }
        Ok(_) if path.metadata().is_ok_and(|about| about.mode() & 0o077 != 0) => Check::warn(
            NAME,
            format!("{shown} holds one, and others may read it"),
            format!("chmod 600 {shown}"),
        ),
        Ok(_) => Check::ok(NAME, format!("{shown} holds one")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Check::ok(
            NAME,
            "none: public models need none, gated ones do (`hf auth login`)",
        ),
        Err(error) => Check::warn(
            NAME,
            format!("{shown} cannot be read: {error}"),
            "look at its owner and its mode",
        ),
    }
}

fn admin_token(context: &Context) -> Check {
    const NAME: &str = "admin token";
    match context.config.admin_token(false) {
        Ok(Some(_)) => Check::ok(NAME, "there is one"),
        Ok(None) => Check::ok(NAME, "none yet: the first `modelhaul serve` makes one"),
        Err(error) => Check::fail(
            NAME,
            error.to_string(),
            "`modelhaul serve` does not start before that",
        ),
    }
}

fn time(now: DateTime<Utc>) -> Check {
    let text = now.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    if now < MADE {
        Check::fail(
            "clock",
            text,
            "set the clock: certificates are not valid yet at this time",
        )
    } else {
        Check::ok("clock", text)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;

    #[test]
    fn room_is_judged_above_the_floor() {
        for (free, verdict) in [
            (0, Verdict::Fail),
            (100, Verdict::Fail),
            (101, Verdict::Warn),
            (COMFORT + 100, Verdict::Ok),
        ] {
            assert_eq!(room(free, 100).verdict, verdict, "{free}");
        }
    }

    #[test]
    fn a_token_file_is_judged_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert_eq!(token_file(&path).verdict, Verdict::Ok);
        std::fs::write(&path, "hf_hunter2").unwrap();
        for (mode, verdict) in [(0o644, Verdict::Warn), (0o600, Verdict::Ok)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let check = token_file(&path);
            assert_eq!(check.verdict, verdict);
            assert!(!format!("{check:?}").contains("hunter2"));
        }
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(token_file(&path).verdict, Verdict::Warn);
    }

    #[test]
    fn a_clock_of_the_past_fails() {
        assert_eq!(time(DateTime::UNIX_EPOCH).verdict, Verdict::Fail);
        assert_eq!(time(MADE + Duration::from_secs(1)).verdict, Verdict::Ok);
    }

    #[tokio::test]
    async fn a_hub_that_listens_is_told_from_one_that_does_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = Url::parse(&format!("http://{address}")).unwrap();
        let mut options = ManagerOptions::new("/q.db", "/c", endpoint);
        assert_eq!(hub(&options).await.verdict, Verdict::Ok);
        drop(listener);
        assert_eq!(hub(&options).await.verdict, Verdict::Fail);
        options.offline = true;
        assert_eq!(hub(&options).await.verdict, Verdict::Warn);
    }
}
