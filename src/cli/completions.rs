//! `completions`: a script that completes commands and flags in a shell.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::args::Cli;
use super::error::CliError;
use super::exit::Exit;
use super::output;

/// For which shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  modelhaul completions bash > ~/.local/share/bash-completion/completions/modelhaul
  modelhaul completions zsh > \"${fpath[1]}/_modelhaul\"
  modelhaul completions fish > ~/.config/fish/completions/modelhaul.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "modelhaul", &mut script);
    output::raw(&script)?;
    Ok(Exit::Done)
}
