//! `token`: access tokens for people and programs, made, listed and revoked on the database itself.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output;
use crate::config::parse_duration;
use crate::domain::{AccessToken, Role, TokenName};

/// What to do with access tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it, once; from then on even reading over HTTP needs one.
    Create(CreateArgs),
    /// List the tokens: name, role, time. The tokens themselves are not kept.
    Ls,
    /// Revoke a token; the service refuses it within a second.
    Revoke(RevokeArgs),
}

/// What the token is for.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Its name, for lists and logs: letters, digits or `._@+-`.
    #[arg(long)]
    name: String,
    /// What its holder may do: look, start and steer, or everything.
    #[arg(long, value_enum)]
    role: RoleArg,
    /// Time after which it is good no more, for example 30d or 12h [default: never].
    #[arg(long, value_name = "DURATION")]
    expires: Option<String>,
}

/// Which token.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// Its name.
    name: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleArg {
    Viewer,
    Operator,
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Operator => Self::Operator,
            RoleArg::Admin => Self::Admin,
        }
    }
}

pub(crate) async fn run(context: &Context, command: &TokenCommand) -> Result<Exit, CliError> {
    match command {
        TokenCommand::Create(args) => create(context, args).await,
        TokenCommand::Ls => list(context).await,
        TokenCommand::Revoke(args) => revoke(context, args).await,
    }
}

async fn create(context: &Context, args: &CreateArgs) -> Result<Exit, CliError> {
    let name: TokenName = args.name.parse()?;
    let lifetime = match &args.expires {
        None => None,
        Some(text) => Some(
            parse_duration(text).map_err(|rule| CliError::Usage(format!("--expires: {rule}")))?,
        ),
    };
    let manager = context.open().await?;
    let (token, secret) = manager
        .create_token(name, args.role.into(), lifetime)
        .await?;
    if context.output.is_json() {
        let mut shown = json(&token);
        shown["token"] = json!(secret.expose());
        output::json(&shown)?;
    } else {
        output::line(secret.expose())?;
        context
            .output
            .hint("This is the only time that the token is shown. Reading over HTTP needs a token from now on, here too.");
    }
    Ok(Exit::Done)
}

async fn list(context: &Context) -> Result<Exit, CliError> {
    let now = context.clock.now();
    let tokens = context.open().await?.tokens().await?;
    if context.output.is_json() {
        let tokens: Vec<Value> = tokens
            .iter()
            .map(|token| {
                let mut shown = json(token);
                shown["expired"] = json!(token.is_expired(now));
                shown
            })
            .collect();
        output::json(&tokens)?;
        return Ok(Exit::Done);
    }
    if tokens.is_empty() {
        context
            .output
            .hint("There are no tokens: on this machine everybody may read and start.");
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 4]> = tokens
        .iter()
        .map(|token| {
            let expires = match token.expires_at {
                None => "never".to_owned(),
                Some(_) if token.is_expired(now) => "expired".to_owned(),
                Some(end) => end.format("%Y-%m-%d %H:%M UTC").to_string(),
            };
            [
                token.name.to_string(),
                token.role.to_string(),
                token.created_at.format("%Y-%m-%d %H:%M UTC").to_string(),
                expires,
            ]
        })
        .collect();
    output::table(["NAME", "ROLE", "CREATED", "EXPIRES"], &rows)?;
    Ok(Exit::Done)
}

async fn revoke(context: &Context, args: &RevokeArgs) -> Result<Exit, CliError> {
    let name: TokenName = args.name.parse()?;
    let revoked = context.open().await?.revoke_token(&name).await?;
    if context.output.is_json() {
        output::json(&json!({"name": name, "revoked": revoked}))?;
    } else if revoked {
        output::line(&format!("revoked {name}"))?;
    } else {
        output::line(&format!("there is no token named {name}"))?;
    }
    Ok(if revoked { Exit::Done } else { Exit::NotFound })
}

fn json(token: &AccessToken) -> Value {
    json!({"name": token.name, "role": token.role, "created_at": token.created_at, "expires_at": token.expires_at})
}
