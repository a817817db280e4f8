//! The command line: parse, configure, dispatch, and one exit code.
//!
//! Commands work on the database through the manager; a running service sees the same rows. Results go to
//! standard output, everything else to standard error.

mod admin_token;
mod args;
mod cache;
mod cancel;
mod clear;
mod completions;
mod config;
mod context;
mod doctor;
mod error;
mod events;
mod exit;
mod follow;
mod import;
mod limit;
mod lock;
mod locked;
mod models;
mod outdated;
mod output;
mod pause;
mod plan;
mod priority;
mod progress;
mod pull;
mod queue;
mod reference;
mod registry;
mod retry;
mod serve;
mod status;
mod templates;
mod token;
mod url_file;
mod wait;
mod work;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;

use crate::clock::SystemClock;
use crate::config::{Config, Environment};
use crate::shutdown::Shutdown;
use crate::telemetry::{self, Audience};
use args::{Cli, Command, ConfigCommand};
use context::Context;
use error::CliError;
use exit::Exit;
use output::Output;

/// Threads for work that blocks: hashing, syncing, looking into folders.
const BLOCKING_THREADS: usize = 32;

/// How long threads that still block may hold up the end of the process.
const TEARDOWN: Duration = Duration::from_millis(300);

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // A database worker that broke would leave its connection hanging for ever; the queue survives a restart.
    crate::store::abort_on_worker_panic();
    keep_no_core();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output, misuse to standard error; nobody is left to tell when that fails.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    let output = Output {
        format: cli.global.format,
        quiet: cli.global.quiet,
    };
    match execute(cli, output) {
        Ok(exit) => exit.into(),
        Err(CliError::NobodyReads) => Exit::Done.into(),
        Err(error) => {
            if output.is_json() {
                output::complain(&error.object().to_string());
            } else {
                output::complain(&error.text());
            }
            error.exit().into()
        }
    }
}

/// The memory of this process holds tokens, so an abort must not write it to a file.
fn keep_no_core() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = Rlimit {
        current: Some(0),
        ..getrlimit(Resource::Core)
    };
    if let Err(error) = setrlimit(Resource::Core, limit) {
        tracing::debug!(%error, "Core dumps cannot be switched off.");
    }
}

fn execute(cli: Cli, output: Output) -> Result<Exit, CliError> {
    if let Command::Completions(args) = &cli.command {
        return completions::run(args);
    }
    let environment = Environment::capture();
    #[cfg(feature = "testing")]
    crate::failpoint::arm(
        environment
            .lookup("MODELHAUL_FAILPOINTS")
            .unwrap_or_default(),
    );
    let config = Config::load(&cli.flags(), &environment)?;
    let audience = match cli.command {
        Command::Serve(_) => Audience::Service,
        _ => Audience::Command,
    };
    telemetry::start(&config.log, audience)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let threads = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(2))
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("modelhaul")
        .enable_all()
        .build()
        .map_err(|source| CliError::Io {
            what: "the runtime cannot start",
            source,
        })?;
    let context = Context {
        config,
        output,
        shutdown: Shutdown::new(),
        clock: Arc::new(SystemClock::new()),
    };
    let result = runtime.block_on(dispatch(&context, cli.command));
    runtime.shutdown_timeout(TEARDOWN);
    result
}

async fn dispatch(context: &Context, command: Command) -> Result<Exit, CliError> {
    context.shutdown.listen().map_err(|source| CliError::Io {
        what: "signals cannot be received",
        source,
    })?;
    let ended = match command {
        // These have something to save, so they handle the first signal themselves.
        Command::Serve(_) => {
            context
                .shutdown
                .unless_forced(Box::pin(serve::run(context)))
                .await
        }
        Command::Pull(args) => {
            let pull = Box::pin(pull::run(context, &args));
            context.shutdown.unless_forced(pull).await
        }
        Command::Import(args) => {
            let import = Box::pin(import::run(context, &args));
            context.shutdown.unless_forced(import).await
        }
        Command::Events(args) => {
            let events = Box::pin(events::run(context, &args));
            context.shutdown.unless_forced(events).await
        }
        Command::Cache(command) => {
            let cache = Box::pin(cache::run(context, &command));
            context.shutdown.unless_forced(cache).await
        }
        Command::Wait(args) => {
            let wait = Box::pin(wait::run(context, &args));
            context.shutdown.unless_forced(wait).await
        }
        other => {
            context
                .unless_stopped(Box::pin(short(context, other)))
                .await
        }
    }
    .unwrap_or(Ok(Exit::Unfinished));
    context.shutdown.clone().finish().await;
    ended
}

async fn short(context: &Context, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Plan(args) => plan::run(context, &args).await,
        Command::Lock(args) => lock::run(context, &args).await,
        Command::Outdated(args) => outdated::run(context, &args).await,
        Command::Templates(command) => templates::run(context, &command).await,
        Command::Status(args) => status::run(context, &args).await,
        Command::Queue => queue::run(context).await,
        Command::Limit(args) => limit::run(context, &args).await,
        Command::Priority(args) => priority::run(context, &args).await,
        Command::Cancel(args) => cancel::run(context, &args).await,
        Command::Pause(args) => pause::run(context, &args, true).await,
        Command::Resume(args) => pause::run(context, &args, false).await,
        Command::Retry(args) => retry::run(context, &args).await,
        Command::Clear(args) => clear::run(context, &args).await,
        Command::Models(command) => models::run(context, &command).await,
        Command::Config(ConfigCommand::Show) => config::show(context),
        Command::Token(command) => token::run(context, &command).await,
        Command::Doctor(args) => doctor::run(context, &args).await,
        Command::Completions(args) => completions::run(&args),
        Command::Serve(_)
        | Command::Pull(_)
        | Command::Import(_)
        | Command::Wait(_)
        | Command::Cache(_)
        | Command::Events(_) => {
            unreachable!("long commands are dispatched before")
        }
    }
}
