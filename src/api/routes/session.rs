//! The browser's session: signing in with a token, who is signed in, signing out.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::domain::{Role, ServerInfo};

use super::super::App;
use super::super::answer::{Answer, Answered};
use super::super::extract::Json;
use super::super::guard::Caller;

/// What somebody shows in order to come in.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub(crate) struct SignIn {
    token: String,
}

/// Who calls, and what that means.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Session {
    /// `viewer`, `operator`, `admin`, or `none` when even reading needs a token.
    role: &'static str,
    /// The token's name.
    name: Option<String>,
    /// Whether a token or a session was shown.
    signed_in: bool,
    /// Whether reading needs a token.
    sign_in_required: bool,
    /// Which process answers; strangers are not told.
    server: Option<ServerInfo>,
}

impl Session {
    /// `guarded`: whether a caller without a token is a stranger.
    fn of(app: &App, caller: Caller, guarded: bool) -> Self {
        let server = (caller != Caller::Stranger).then(|| app.manager.server_info());
        let (role, name) = match caller {
            Caller::Known { role, name } => (role.as_str(), Some(name)),
            Caller::Local => (Role::Operator.as_str(), None),
            Caller::Stranger => ("none", None),
        };
        Self {
            role,
            signed_in: name.is_some(),
            name,
            sign_in_required: guarded,
            server,
        }
    }
}

/// Swaps a token for a cookie.
#[utoipa::path(post, path = "", request_body = SignIn, responses((status = 200, description = "Who calls now", body = Session)))]
pub(in super::super) async fn open(
    State(app): State<App>,
    headers: HeaderMap,
    Json(body): Json<SignIn>,
) -> Answered<Session> {
    let (caller, cookie) = app.guard.sign_in(&body.token, &headers).await?;
    if let Caller::Known { role, name } = &caller {
        tracing::info!(name, %role, "Somebody has signed in.");
    }
    let guarded = app.guard.is_guarded().await;
    Ok(Answer::ok(Session::of(&app, caller, guarded)).with_cookie(cookie))
}

/// Who calls.
#[utoipa::path(get, path = "", responses((status = 200, description = "Who calls now", body = Session)))]
pub(in super::super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Answered<Session> {
    let guarded = app.guard.is_guarded().await;
    Ok(Answer::ok(Session::of(&app, caller, guarded)))
}

/// Ends the session; what is left is who calls without it.
#[utoipa::path(delete, path = "", responses((status = 200, description = "Who calls now", body = Session)))]
pub(in super::super) async fn close(
    State(app): State<App>,
    headers: HeaderMap,
) -> Answered<Session> {
    let cookie = app.guard.sign_out(&headers)?;
    let guarded = app.guard.is_guarded().await;
    let nobody = if guarded {
        Caller::Stranger
    } else {
        Caller::Local
    };
    Ok(Answer::ok(Session::of(&app, nobody, guarded)).with_cookie(cookie))
}
