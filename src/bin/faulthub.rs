//! The practice hub with a script: a hub, its storage and a liar, for any downloader that can be told an endpoint.
//!
//! It prints `HF_ENDPOINT=...` and `CONTROL=...` on stdout, listens on loopback only, and ends by itself.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::Parser;
use modelhaul::testing::{PracticeHub, RepoSpec, Script};

/// A hub that fails as its script says, on loopback.
#[derive(Debug, Parser)]
#[command(name = "faulthub")]
struct Arguments {
    /// What it serves and what goes wrong, in TOML; see docs/FAULTHUB.md
    #[arg(long, value_name = "FILE")]
    script: PathBuf,
    /// The hub's address; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_parser = loopback)]
    listen: SocketAddr,
    /// The address of the control door
    #[arg(long, default_value = "127.0.0.1:0", value_parser = loopback)]
    control: SocketAddr,
    /// Only read the script, and say what is wrong with it
    #[arg(long)]
    check: bool,
    /// Seconds after which it ends
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 3600)]
    seconds: u64,
    /// End when stdin is closed, and so with the program that started it
    #[arg(long)]
    with_stdin: bool,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|error| format!("`{text}` is no address: {error}"))?;
    if address.ip() == std::net::Ipv4Addr::LOCALHOST {
        Ok(address)
    } else {
        Err("only 127.0.0.1 is possible: a hub that lies is nothing for a network".to_owned())
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Without stderr there is nobody to tell.
            let _told = writeln!(io::stderr(), "faulthub: {message}");
            ExitCode::from(2)
        }
    }
}

fn read(path: &Path) -> Result<Script, String> {
    let at = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{at}: {error}"))?;
    Script::read(&text).map_err(|error| format!("{at}: {error}"))
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let script = read(&arguments.script)?;
    let mut out = io::stdout();
    if arguments.check {
        let names: Vec<_> = script.repos().map(RepoSpec::id).collect();
        return writeln!(out, "good: {}", names.join(", ")).map_err(|error| error.to_string());
    }
    let hub = PracticeHub::follow(&script, arguments.listen.port(), arguments.control.port())
        .map_err(|error| format!("it cannot listen: {error}"))?;
    writeln!(
        out,
        "HF_ENDPOINT={}\nCONTROL={}",
        hub.endpoint(),
        hub.control_endpoint()
    )
    .and_then(|()| out.flush())
    .map_err(|error| error.to_string())?;
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
