//! Who may use which route: every route has a policy, and the admin token opens the ones that need it.
//!
//! The token is kept as a hash and compared in constant time; it is taken from the `Authorization` header only.

use std::fmt;

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::redact::Token;

use super::super::problem::{Code, Problem};
use super::Guard;

/// The shortest admin token, in characters, with which other machines may be let in.
pub(crate) const SHORTEST_PUBLIC_TOKEN: usize = 16;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Everybody who can connect: probes.
    Open,
    /// Reading: free on loopback.
    Read,
    /// Starting and steering downloads: free on loopback.
    Write,
    /// What removes or stops the work of others: needs the token always.
    Admin,
}

/// Who calls, as the check found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Showed the admin token.
    Admin,
    /// Showed nothing, on a listener that only this machine reaches.
    Local,
    /// Showed nothing, on a listener that others reach.
    Stranger,
}

/// The hash of the admin token.
pub(super) struct AdminToken([u8; 32]);

impl AdminToken {
    pub(super) fn new(token: &Token) -> Self {
        Self(Sha256::digest(token.expose()).into())
    }

    /// Compares in constant time; the hash hides the length too.
    fn is(&self, given: &[u8]) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        self.0.ct_eq(&given).into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AdminToken(***)")
    }
}

/// Decides whether the caller may use a route with this policy.
pub(super) fn check(guard: &Guard, policy: Policy, headers: &HeaderMap) -> Result<Caller, Problem> {
    let nobody = if guard.public {
        Caller::Stranger
    } else {
        Caller::Local
    };
    let needed = match policy {
        Policy::Open => false,
        Policy::Read | Policy::Write => guard.public,
        Policy::Admin => true,
    };
    let Some(admin) = &guard.admin else {
        if needed {
            return Err(Problem::new(
                Code::AdminDisabled,
                "this service has no admin token, so its admin routes are switched off",
            )
            .with_remedy("set MODELHAUL_ADMIN_TOKEN and restart the service"));
        }
        return Ok(nobody);
    };
    match bearer(headers) {
        Some(given) if admin.is(given) => Ok(Caller::Admin),
        _ if !needed => Ok(nobody),
        None => Err(challenge(
            Problem::new(Code::AdminTokenRequired, "this route needs the admin token")
                .with_remedy("send `Authorization: Bearer <admin token>`"),
            "Bearer realm=\"modelhaul\"",
        )),
        Some(_wrong) => Err(match guard.wrong_tokens.count() {
            Some(seconds) => Problem::new(Code::TooManyAttempts, "too many wrong tokens were sent")
                .with_retry_after(seconds),
            None => challenge(
                Problem::new(Code::AdminTokenWrong, "the token is not the admin token"),
                "Bearer realm=\"modelhaul\", error=\"invalid_token\"",
            ),
        }),
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
