//! The practice hub as a program: a local stand-in for the Hugging Face hub.
//!
//! It prints `HF_ENDPOINT=...` as the one line on stdout, listens on loopback only, and ends by itself.

use std::io::{self, Read as _, Write as _};
use std::sync::mpsc;
use std::time::Duration;

use clap::Parser;
use modelhaul::testing::{Content, HubConfig, PracticeHub, RepoSpec, Settings, demo_repos};

/// A local stand-in for the Hugging Face hub, on loopback.
#[derive(Debug, Parser)]
#[command(name = "practicehub")]
struct Arguments {
    /// Serve the two repositories of the demo
    #[arg(long)]
    demo: bool,
    /// Serve a generated repository: COUNT files of SIZE bytes each (K, M and G are understood)
    #[arg(long, value_name = "ID:SIZE:COUNT", value_parser = repo)]
    repo: Vec<RepoSpec>,
    /// The hub's port; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// A token that is valid
    #[arg(long)]
    token: Vec<String>,
    /// Bytes per second of each connection (K, M and G are understood); 0 is without limit
    #[arg(long, default_value = "0", value_parser = size)]
    rate: u64,
    /// Bytes per second of all connections together; 0 is without limit
    #[arg(long, default_value = "0", value_parser = size)]
    rate_total: u64,
    /// Milliseconds before each answer
    #[arg(long, default_value_t = 0)]
    latency: u64,
    /// Milliseconds more before the first answer of each connection
    #[arg(long, default_value_t = 0)]
    connect_latency: u64,
    /// Seconds after which it ends
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 600)]
    seconds: u64,
    /// End when stdin is closed, and so with the program that started it
    #[arg(long)]
    with_stdin: bool,
}

fn size(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.to_ascii_uppercase().chars().last() {
        Some('K') => (&text[..text.len() - 1], 1_000),
        Some('M') => (&text[..text.len() - 1], 1_000_000),
        Some('G') => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1),
    };
    let number: u64 = digits
        .parse()
        .map_err(|error| format!("`{text}` is no size: {error}"))?;
    number
        .checked_mul(unit)
        .ok_or_else(|| format!("`{text}` is too large"))
}

fn repo(text: &str) -> Result<RepoSpec, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let [id, bytes, count] = parts.as_slice() else {
        return Err("ID:SIZE:COUNT is expected, for example `me/big:5G:2`".to_owned());
    };
    let bytes = size(bytes)?;
    let count: u32 = count
        .parse()
        .map_err(|error| format!("`{count}` is no count: {error}"))?;
    let start = RepoSpec::new(id).file("config.json", "{}\n");
    Ok((1..=count).fold(start, |spec, n| {
        let name = format!("model-{n:05}-of-{count:05}.safetensors");
        spec.lfs(&name, Content::generated(u64::from(n), bytes))
    }))
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let mut repos = arguments.repo;
    if arguments.demo || repos.is_empty() {
        repos.extend(demo_repos());
    }
    let hub = PracticeHub::start(HubConfig {
        port: arguments.port,
        control_port: 0,
        repos,
        tokens: arguments.token,
        settings: Settings {
            rate_per_connection: arguments.rate,
            rate_total: arguments.rate_total,
            latency_ms: arguments.latency,
            connect_latency_ms: arguments.connect_latency,
            ..Settings::default()
        },
    })?;
    writeln!(io::stdout(), "HF_ENDPOINT={}", hub.endpoint())?;
    io::stdout().flush()?;
    writeln!(io::stderr(), "control: {}", hub.control_endpoint())?;
    let (open, closed) = mpsc::channel::<()>();
    let (watched, kept) = if arguments.with_stdin {
        (Some(open), None)
    } else {
        (None, Some(open))
    };
    if let Some(open) = watched {
        std::thread::spawn(move || {
            let mut buffer = [0; 256];
            while io::stdin().read(&mut buffer).is_ok_and(|n| n > 0) {}
            drop(open);
        });
    }
    // The time is over, or stdin is closed: both end the program.
    let _ended = closed.recv_timeout(Duration::from_secs(arguments.seconds));
    drop(kept);
    drop(hub);
    Ok(())
}
