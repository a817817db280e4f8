//! The grammar of the command line. What a flag does is left to the commands.

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::exit;
use super::{
    cache, clear, completions, doctor, events, import, limit, lock, models, outdated, pause,
    priority, pull, status, templates, token, wait,
};
use crate::config::Flags;

/// Makes models be in the Hugging Face cache, whole and verified.
#[derive(Debug, Parser)]
#[command(name = "modelhaul", version, propagate_version = true, after_help = exit::help())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the service: HTTP API and downloads, until SIGTERM or Ctrl-C.
    Serve(ServeArgs),
    /// Download a model and print the path of its snapshot.
    Pull(pull::PullArgs),
    /// Take files that are on this machine already into the cache, compared with their digests, and download the rest.
    Import(import::ImportArgs),
    /// Show what a download would do: commit, files and why, room, warnings. Writes nothing.
    Plan(RefArgs),
    /// Write down the commits and contents of models, for `pull --locked`.
    Lock(lock::LockArgs),
    /// Show which registered models have moved on the hub; exit code 10 when one has.
    Outdated(outdated::OutdatedArgs),
    /// List, show and check templates.
    #[command(subcommand)]
    Templates(templates::TemplatesCommand),
    /// Show where a model stands, or all of them.
    Status(status::StatusArgs),
    /// Show the queue and who works on it.
    Queue,
    /// Show what has happened to jobs and models, and with --follow what happens.
    Events(events::EventsArgs),
    /// Wait until a model's download has ended.
    Wait(wait::WaitArgs),
    /// Cancel a download; what was received is kept for the next one.
    Cancel(RefArgs),
    /// Pause a download, or the whole queue.
    Pause(pause::PauseArgs),
    /// End a pause.
    Resume(pause::PauseArgs),
    /// Show or change the bandwidth limit of all downloads, also of those that run.
    Limit(limit::LimitArgs),
    /// Let a waiting download go before or behind others.
    Priority(priority::PriorityArgs),
    /// Queue a failed download again; a waiting one runs at once.
    Retry(RefArgs),
    /// Remove a stuck claim, queue entry and failed status, so that a model can be started again.
    Clear(clear::ClearArgs),
    /// List, add and remove registrations.
    #[command(subcommand)]
    Models(models::ModelsCommand),
    /// List, verify and remove what lies in the Hugging Face cache, whoever put it there.
    #[command(subcommand)]
    Cache(cache::CacheCommand),
    /// Make, list and revoke access tokens of the HTTP API.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Show the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check database, cache, disk, hub, token and clock, and say what to do.
    Doctor(doctor::DoctorArgs),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
}

/// What to show of the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show each setting with its value and where it was set; secrets are masked.
    Show,
}

/// Flags of the service alone.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on [default: 127.0.0.1:8642].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// File with the admin token; made at the first start [default: admin-token beside the database].
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_token_file: Option<String>,
    /// Host name under which the service is reached; may be given more than once.
    #[arg(long = "allowed-host", value_name = "HOST", value_delimiter = ',')]
    pub(crate) allowed_hosts: Vec<String>,
}

/// A model, and which of its files.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RefArgs {
    /// A registered id, the id of a template for one repository, or `org/name[@revision]`.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
}

/// Which files of a repository.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SelectionArgs {
    /// Only files that match the pattern (fnmatch, `*` crosses `/`); may be given more than once.
    #[arg(short = 'i', long = "include", value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// No files that match the pattern; may be given more than once.
    #[arg(short = 'x', long = "exclude", value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// Template that names the files a model family needs [default: everything; under `models add` what fits
    /// repository and kind].
    #[arg(long, value_name = "ID")]
    pub(crate) template: Option<String>,
    /// Variant of the template.
    #[arg(long, value_name = "NAME")]
    pub(crate) variant: Option<String>,
    /// What REF is on the hub; `datasets/org/name` and `spaces/org/name` say it too.
    #[arg(long = "type", value_enum, value_name = "TYPE", default_value_t)]
    pub(crate) repo_type: RepoType,
}

/// What a repository is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum RepoType {
    #[default]
    Model,
    Dataset,
    Space,
}

impl RepoType {
    /// REF as the hub's addresses have it.
    pub(crate) fn in_front_of(self, reference: &str) -> String {
        let kind = match self {
            Self::Model => return reference.to_owned(),
            Self::Dataset => "datasets/",
            Self::Space => "spaces/",
        };
        if reference.starts_with(kind) {
            reference.to_owned()
        } else {
            format!("{kind}{reference}")
        }
    }
}

impl SelectionArgs {
    /// Whether it says anything.
    pub(crate) fn selects(&self) -> bool {
        !self.include.is_empty()
            || !self.exclude.is_empty()
            || self.template.is_some()
            || self.variant.is_some()
    }
}

/// How results look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Human,
    /// For programs.
    Json,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Configuration file [default: ~/.config/modelhaul/config.toml].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<String>,
    /// SQLite file [default: ~/.local/share/modelhaul/modelhaul.db].
    #[arg(long, global = true, value_name = "FILE")]
    db: Option<String>,
    /// Hugging Face hub cache [default: as `huggingface_hub` finds it].
    #[arg(long, global = true, value_name = "FOLDER")]
    cache_dir: Option<String>,
    /// Address of the hub [default: `https://huggingface.co`].
    #[arg(long, global = true, value_name = "URL")]
    endpoint: Option<String>,
    /// Make no request.
    #[arg(long, global = true)]
    offline: bool,
    /// Most attempts in a row without a new byte.
    #[arg(long, global = true, value_name = "N")]
    max_retries: Option<String>,
    /// Most connections that carry file bytes, 1 to 64.
    #[arg(long, global = true, value_name = "N")]
    max_connections: Option<String>,
    /// Most bytes per second, for example 20MB/s.
    #[arg(long, global = true, value_name = "RATE")]
    bandwidth_limit: Option<String>,
    /// Folder with your own templates.
    #[arg(long, global = true, value_name = "FOLDER")]
    template_dir: Option<String>,
    /// What is logged, for example `info,modelhaul=debug`.
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// How log lines look: auto, text or json.
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// How the result on standard output looks.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// No progress and no hints on standard error.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

impl Cli {
    /// What the command line says about settings.
    pub(crate) fn flags(&self) -> Flags {
        let global = &self.global;
        let mut flags = Flags::default()
            .with("database", global.db.as_deref())
            .with("cache_dir", global.cache_dir.as_deref())
            .with("endpoint", global.endpoint.as_deref())
            .with("offline", global.offline.then_some("1"))
            .with("max_retries", global.max_retries.as_deref())
            .with("max_connections", global.max_connections.as_deref())
            .with("bandwidth_limit", global.bandwidth_limit.as_deref())
            .with("template_dir", global.template_dir.as_deref())
            .with("log", global.log.as_deref())
            .with("log_format", global.log_format.as_deref());
        flags.config.clone_from(&global.config);
        if let Command::Serve(serve) = &self.command {
            let hosts = (!serve.allowed_hosts.is_empty()).then(|| serve.allowed_hosts.join(","));
            flags = flags
                .with("listen", serve.listen.as_deref())
                .with("admin_token_file", serve.admin_token_file.as_deref())
                .with("allowed_hosts", hosts);
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::config::{Config, Environment, Origin};

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_may_stand_before_and_behind_the_command() {
        for line in [
            "modelhaul --db q.db --offline status",
            "modelhaul status --db q.db --offline",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.global.db.as_deref(), Some("q.db"), "{line}");
            assert!(cli.global.offline, "{line}");
        }
    }

    #[test]
    fn help_tells_the_exit_codes() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.ends_with(&format!("{}\n", exit::help())), "{help}");
        for row in [
            "   0  done",
            "   9  disk full",
            "  24  token",
            "  78  bad configuration",
        ] {
            assert!(help.contains(row), "{row}");
        }
    }

    #[test]
    fn misuse_is_told_apart() {
        for line in [
            "modelhaul",
            "modelhaul pull",
            "modelhaul pull a/b --lock x",
            "modelhaul templates check --lock x",
            "modelhaul pause",
            "modelhaul pause a --queue",
            "modelhaul status --format xml",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn every_flag_reaches_its_setting() {
        let line = "modelhaul serve --db /q.db --cache-dir /c --endpoint https://h.test --offline --max-retries 3 \
             --max-connections 4 --bandwidth-limit 5MB/s --template-dir /t --log warn --log-format json \
             --listen 127.0.0.1:9 --admin-token-file /a --allowed-host a --allowed-host b";
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let environment = Environment::of([], "/home/u", "/w");
        let config = Config::load(&cli.flags(), &environment).unwrap();
        let command = Cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        let longs: Vec<&str> = command
            .get_arguments()
            .chain(serve.get_arguments())
            .filter_map(clap::Arg::get_long)
            .collect();
        let mut set = 0;
        for setting in &config.settings {
            if let Origin::Flag(name) = setting.origin {
                assert!(longs.contains(&name), "--{name}");
                set += 1;
            }
        }
        assert_eq!(set, 13);
        assert_eq!(config.serve.allowed_hosts, ["a", "b"]);
        assert_eq!(config.manager.max_connections, 4);
        assert_eq!(config.manager.bandwidth_limit, Some(5_000_000));
    }
}
