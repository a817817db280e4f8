//! Who may use which route: every route has a policy, and what the caller shows has a role.
//!
//! Tokens are kept as hashes and compared in constant time. They are taken from the `Authorization` header, or from the
//! session that the cookie names; never from the address.

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use percent_encoding::percent_decode_str;

use crate::domain::{Role, SecretHash};
use crate::manager::{ManagerError, Standing};

use super::super::problem::{Code, Problem};
use super::Guard;

/// The shortest admin token, in characters, with which other machines may be let in.
pub(crate) const SHORTEST_PUBLIC_TOKEN: usize = 16;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Everybody who can connect, without a look at who it is: a sign of life and the page without its data. So these
    /// answer while the database does not.
    Open,
    /// Everybody who can connect, but what is answered depends on who it is.
    Named,
    /// Everybody who can connect: the request itself says who wants to come in, or who goes.
    SignIn,
    /// Reading: viewers; everybody on loopback while there are no tokens.
    Read,
    /// Starting and steering downloads: operators; everybody on loopback while there are no tokens.
    Write,
    /// What removes or stops the work of others: admins always.
    Admin,
}

impl Policy {
    /// The role that it asks for.
    pub(crate) const fn role(self) -> Option<Role> {
        match self {
            Self::Open | Self::Named | Self::SignIn => None,
            Self::Read => Some(Role::Viewer),
            Self::Write => Some(Role::Operator),
            Self::Admin => Some(Role::Admin),
        }
    }
}

/// Who calls, as the check found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Showed a token, or the cookie of a session.
    Known {
        /// What the holder may do.
        role: Role,
        /// The token's name.
        name: String,
    },
    /// Showed nothing, where nothing is asked for.
    Local,
    /// Showed nothing that is known.
    Stranger,
}

/// What a request shows.
enum Shown {
    Nothing,
    Token(SecretHash),
    Session(SecretHash),
}

/// Why what was shown opens nothing.
enum Unfit {
    Unknown,
    Expired,
}

/// Decides whether the caller may use a route with this policy.
pub(super) async fn check(
    guard: &Guard,
    policy: Policy,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    if matches!(policy, Policy::Open | Policy::SignIn) {
        return Ok(Caller::Stranger);
    }
    let shown = match bearer(headers) {
        Some(given) => Shown::Token(SecretHash::of(given)),
        None => guard
            .sessions
            .token(headers)
            .map_or(Shown::Nothing, Shown::Session),
    };
    let hash = match &shown {
        Shown::Nothing => None,
        Shown::Token(hash) | Shown::Session(hash) => Some(hash),
    };
    if let Some(hash) = hash
        && guard.is_admin(hash)
    {
        return Ok(Caller::Known {
            role: Role::Admin,
            name: "admin".to_owned(),
        });
    }
    let Some(needed) = policy.role() else {
        // Without the database nobody is taken for a friend.
        return Ok(match guard.standing(hash).await {
            Ok(standing) => recognised(guard, &standing).unwrap_or_else(|(nobody, _)| nobody),
            Err(_unreadable) => Caller::Stranger,
        });
    };
    let standing = guard.standing(hash).await?;
    let (nobody, why) = match recognised(guard, &standing) {
        Ok(Caller::Known { role, name }) if role < needed => {
            return Err(Problem::new(
                Code::RoleTooLow,
                format!("the token `{name}` has the role {role}; this route needs {needed}"),
            )
            .with_remedy("ask somebody with that role, or for a token with it"));
        }
        Ok(caller) => return Ok(caller),
        Err(refused) => refused,
    };
    if policy != Policy::Admin && nobody == Caller::Local {
        return Ok(nobody);
    }
    if !guard.admin.is_set() && !standing.guarded {
        return Err(Problem::new(
            Code::AdminDisabled,
            "this service has no admin token, so its admin routes are switched off",
        )
        .with_remedy("set MODELHAUL_ADMIN_TOKEN and restart the service"));
    }
    Err(match (shown, why) {
        (_, Unfit::Expired) => expired(),
        (Shown::Token(_), Unfit::Unknown) => wrong(guard, policy),
        // A session without its token says no more than no session.
        (Shown::Nothing | Shown::Session(_), Unfit::Unknown) => missing(policy, needed),
    })
}

/// Decides who shows a token in order to sign in: its hash, and who it is.
pub(super) async fn sign_in(guard: &Guard, token: &str) -> Result<(SecretHash, Caller), Problem> {
    let hash = SecretHash::of(token.trim().as_bytes());
    if guard.is_admin(&hash) {
        let name = "admin".to_owned();
        let role = Role::Admin;
        return Ok((hash, Caller::Known { role, name }));
    }
    let standing = guard.standing(Some(&hash)).await?;
    match recognised(guard, &standing) {
        Ok(caller) => Ok((hash, caller)),
        Err((_, Unfit::Expired)) => Err(expired()),
        Err((_, Unfit::Unknown)) => Err(wrong(guard, Policy::SignIn)),
    }
}

/// Whether any token was made; when nobody can tell, it counts as yes.
pub(super) async fn tokens_exist(guard: &Guard) -> bool {
    let standing = guard.standing(None).await;
    standing.map_or(true, |standing| standing.guarded)
}

/// Whose token it is; else what the caller is without one, and why.
fn recognised(guard: &Guard, standing: &Standing) -> Result<Caller, (Caller, Unfit)> {
    let nobody = if guard.public || standing.guarded {
        Caller::Stranger
    } else {
        Caller::Local
    };
    match &standing.holder {
        Some(holder) if holder.expired => Err((nobody, Unfit::Expired)),
        Some(holder) => Ok(Caller::Known {
            role: holder.role,
            name: holder.name.to_string(),
        }),
        None => Err((nobody, Unfit::Unknown)),
    }
}

fn missing(policy: Policy, needed: Role) -> Problem {
    let problem = if policy == Policy::Admin {
        Problem::new(Code::AdminTokenRequired, "this route needs the admin token")
            .with_remedy("send `Authorization: Bearer <admin token>`")
    } else {
        Problem::new(
            Code::TokenRequired,
            format!("this route needs a token with the role {needed}, or a higher one"),
        )
        .with_remedy("send `Authorization: Bearer <token>`; `modelhaul token create` makes one")
    };
    challenge(problem, "Bearer realm=\"modelhaul\"")
}

fn wrong(guard: &Guard, policy: Policy) -> Problem {
    if let Some(seconds) = guard.wrong_tokens.count() {
        return Problem::new(Code::TooManyAttempts, "too many wrong tokens were sent")
            .with_retry_after(seconds);
    }
    let problem = if policy == Policy::Admin {
        Problem::new(Code::AdminTokenWrong, "the token is not the admin token")
    } else {
        Problem::new(Code::TokenWrong, "the token is none of this service's")
    };
    challenge(
        problem,
        "Bearer realm=\"modelhaul\", error=\"invalid_token\"",
    )
}

fn expired() -> Problem {
    challenge(
        Problem::new(Code::TokenExpired, "the token's time is over")
            .with_remedy("`modelhaul token create` makes a new one"),
        "Bearer realm=\"modelhaul\", error=\"invalid_token\"",
    )
}

impl Guard {
    fn is_admin(&self, shown: &SecretHash) -> bool {
        self.admin.is(shown)
    }

    /// What the table of tokens says; without a table there are none.
    async fn standing(&self, shown: Option<&SecretHash>) -> Result<Standing, ManagerError> {
        match &self.people {
            Some(manager) => manager.standing(shown).await,
            None => Ok(Standing::default()),
        }
    }
}

/// Refuses a token in the address: it would stay in histories and in the logs of proxies.
pub(super) fn refuse_query(uri: &Uri) -> Result<(), Problem> {
    let names = uri.query().unwrap_or("").split('&');
    let carries = names
        .map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name))
        .map(|name| percent_decode_str(name).decode_utf8_lossy())
        .any(|name| {
            ["token", "access_token", "admin_token"]
                .iter()
                .any(|word| name.eq_ignore_ascii_case(word))
        });
    if carries {
        return Err(Problem::new(
            Code::TokenInQuery,
            "the address carries a token; it was not looked at",
        )
        .with_remedy("send `Authorization: Bearer <admin token>`, and replace the token"));
    }
    Ok(())
}

/// The credentials of the one `Authorization: Bearer` header; two headers count as a wrong one.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let first = values.next()?;
    if values.next().is_some() {
        return Some(b"");
    }
    let bytes = first.as_bytes();
    let (scheme, rest) = bytes.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| rest.trim_ascii())
}

fn challenge(problem: Problem, value: &'static str) -> Problem {
    problem.with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(value))
}
