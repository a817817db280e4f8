//! Every route for every role: the whole table through the real doors, and the sessions of browsers.

use std::time::Duration;

use axum::body::Body;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use url::Url;

use crate::clock::{Clock, ManualClock};
use crate::domain::Role;
use crate::manager::ManagerOptions;
use crate::redact::Token;

use super::guard::Policy;
use super::practice::{Reply, request, send, send_body};
use super::table::ROUTES;
use super::tests::example;
use super::*;

const ADMIN: &str = "correct horse battery";

/// A service with an empty database.
struct House {
    _folder: tempfile::TempDir,
    manager: UnifiedModelDownloadManager,
    clock: Arc<ManualClock>,
    doors: Doors,
}

impl House {
    async fn new(public: bool, proxied: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("hub");
        std::fs::create_dir_all(&cache).unwrap();
        let endpoint = Url::parse("http://127.0.0.1:9/").unwrap();
        let options = ManagerOptions::new(folder.path().join("test.db"), cache, endpoint);
        let clock = Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let manager = UnifiedModelDownloadManager::open(options, shared)
            .await
            .unwrap();
        let guard = Guard::new(
            AllowedHosts::new("127.0.0.1".parse().unwrap(), &[]).unwrap(),
            Some(&Token::parse(ADMIN).unwrap()),
            public,
            CancellationToken::new(),
        )
        .behind_proxy(proxied);
        Self {
            _folder: folder,
            doors: doors(manager.clone(), guard, Vec::new()),
            manager,
            clock,
        }
    }

    /// A token that `modelhaul token create` would print.
    async fn token(&self, name: &str, role: Role, lifetime: Option<Duration>) -> String {
        let made = self
            .manager
            .create_token(name.parse().unwrap(), role, lifetime);
        made.await.unwrap().1.expose().to_owned()
    }

    async fn ask(&self, method: &str, uri: &str, header: Option<(&str, &str)>) -> Reply {
        let mut builder = request(method, uri);
        if let Some((name, value)) = header {
            builder = builder.header(name, value);
        }
        send(&self.doors, builder).await
    }

    /// Only the status: the body of an event stream has no end.
    async fn status(&self, method: &str, uri: &str, token: Option<&str>) -> u16 {
        let mut builder = request(method, uri);
        if let Some(token) = token {
            builder = builder.header("authorization", format!("Bearer {token}"));
        }
        let request = builder.body(Body::empty()).unwrap();
        self.doors
            .clone()
            .oneshot(request)
            .await
            .unwrap()
            .status()
            .as_u16()
    }

    async fn sign_in(&self, token: &str) -> Reply {
        let builder = request("POST", "/api/v1/session").header("content-type", "application/json");
        let body = serde_json::json!({"token": token}).to_string();
        send_body(&self.doors, builder, body).await
    }
}

/// `name=value` of a `Set-Cookie` header.
fn cookie(reply: &Reply) -> String {
    let whole = reply.header("set-cookie");
    whole.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn every_route_lets_in_its_roles_and_no_others() {
    for (public, guarded) in [(false, false), (false, true), (true, false), (true, true)] {
        let house = House::new(public, false).await;
        let mut callers = vec![
            (None, None),
            (Some("guess".to_owned()), None),
            (Some(ADMIN.to_owned()), Some(Role::Admin)),
        ];
        if guarded {
            for role in Role::ALL {
                let token = house.token(role.as_str(), *role, None).await;
                callers.push((Some(token[..token.len() - 1].to_owned()), None));
                callers.push((Some(token), Some(*role)));
            }
        }
        for route in ROUTES {
            let uri = example(route.path);
            let mut methods = vec![route.method];
            if route.method == "GET" {
                methods.push("HEAD");
            }
            for (token, role) in &callers {
                let allowed = match route.policy {
                    Policy::Open | Policy::Named | Policy::SignIn => true,
                    Policy::Read => *role >= Some(Role::Viewer) || !public && !guarded,
                    Policy::Write => *role >= Some(Role::Operator) || !public && !guarded,
                    Policy::Admin => *role >= Some(Role::Admin),
                };
                for method in &methods {
                    let status = house.status(method, &uri, token.as_deref()).await;
                    let what = format!(
                        "{method} {uri} by {role:?}, token {}, public={public} guarded={guarded}",
                        token.is_some()
                    );
                    if allowed {
                        assert!(![401, 403, 405].contains(&status), "{what}: {status}");
                    } else if role.is_some() {
                        assert_eq!(status, 403, "{what}");
                    } else {
                        // Many wrong tokens are put off.
                        assert!([401, 429].contains(&status), "{what}: {status}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_method_that_the_table_does_not_name_is_refused_for_every_role() {
    let house = House::new(false, false).await;
    let mut callers = vec![None, Some("guess".to_owned()), Some(ADMIN.to_owned())];
    for role in Role::ALL {
        callers.push(Some(house.token(role.as_str(), *role, None).await));
    }
    for path in ROUTES.iter().map(|route| route.path) {
        let named = |method: &str| {
            let mut rows = ROUTES.iter().filter(|route| route.path == path);
            rows.any(|route| route.method == method || route.method == "GET" && method == "HEAD")
        };
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
        ] {
            if named(method) {
                continue;
            }
            for token in &callers {
                let status = house.status(method, &example(path), token.as_deref()).await;
                assert_eq!(status, 405, "{method} {path}, token {}", token.is_some());
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_says_what_is_missing() {
    let house = House::new(false, false).await;
    let read = "/api/v1/queue";
    assert_eq!(house.ask("GET", read, None).await.status, 200);
    let viewer = house.token("eve", Role::Viewer, None).await;
    let bearer = format!("Bearer {viewer}");
    let shown = Some(("authorization", bearer.as_str()));
    assert_eq!(house.ask("GET", read, None).await.code(), "token_required");
    assert_eq!(house.ask("GET", read, shown).await.status, 200);
    let start = house
        .ask("POST", "/api/model-download/m/start", shown)
        .await;
    assert_eq!(start.code(), "role_too_low");
    assert!(
        start.text.contains("`eve` has the role viewer") && start.text.contains("operator"),
        "{start:?}"
    );
    let clear = house.ask("POST", "/api/model-download/m/clear", None).await;
    assert_eq!(clear.code(), "admin_token_required");
    let wrong = Some(("authorization", "Bearer guess"));
    assert_eq!(house.ask("GET", read, wrong).await.code(), "token_wrong");
    let probe = house.ask("GET", "/readyz", None).await;
    assert!(probe.json().get("role").is_none(), "{probe:?}");
    let probe = house.ask("GET", "/readyz", shown).await;
    assert_eq!(probe.json()["role"], "idle");
}

#[tokio::test]
async fn a_token_ends_when_its_time_is_over_and_when_it_is_revoked() {
    let house = House::new(false, false).await;
    let day = Duration::from_hours(24);
    let short = house.token("short", Role::Operator, Some(day)).await;
    let long = house.token("long", Role::Operator, None).await;
    let read = async |token: &str| house.status("GET", "/api/v1/queue", Some(token)).await;
    assert_eq!((read(&short).await, read(&long).await), (200, 200));
    house.clock.advance(day);
    assert_eq!((read(&short).await, read(&long).await), (401, 200));
    let bearer = format!("Bearer {short}");
    let reply = house
        .ask("GET", "/api/v1/queue", Some(("authorization", &bearer)))
        .await;
    assert_eq!(reply.code(), "token_expired");
    assert_eq!(house.sign_in(&short).await.code(), "token_expired");
    assert!(
        house
            .manager
            .revoke_token(&"long".parse().unwrap())
            .await
            .unwrap()
    );
    assert_eq!(
        read(&long).await,
        401,
        "at once in the process that revokes"
    );
    assert!(
        !house
            .manager
            .revoke_token(&"long".parse().unwrap())
            .await
            .unwrap()
    );
    // One that is over still keeps strangers out.
    assert_eq!(house.status("GET", "/api/v1/queue", None).await, 401);
    assert!(
        house
            .manager
            .revoke_token(&"short".parse().unwrap())
            .await
            .unwrap()
    );
    assert_eq!(house.status("GET", "/api/v1/queue", None).await, 200);
}

#[tokio::test]
async fn names_are_taken_once_and_nothing_kept_is_the_token() {
    let house = House::new(false, false).await;
    let token = house.token("ci", Role::Viewer, None).await;
    assert_eq!(token.len(), 3 + 64);
    let twice = house
        .manager
        .create_token("ci".parse().unwrap(), Role::Admin, None);
    assert!(twice.await.unwrap_err().to_string().contains("exists"));
    let over = house.manager.create_token(
        "now".parse().unwrap(),
        Role::Viewer,
        Some(Duration::from_millis(1)),
    );
    assert!(over.await.is_err());
    let kept = house.manager.tokens().await.unwrap();
    assert_eq!(kept.len(), 1);
    assert!(!format!("{kept:?}").contains(&token[3..20]));
    let text = serde_json::to_string(&kept).unwrap();
    assert!(!text.contains("hash") && text.contains("viewer"), "{text}");
}

#[tokio::test]
async fn a_browser_signs_in_looks_and_signs_out() {
    let house = House::new(false, false).await;
    let free = house.ask("GET", "/api/v1/session", None).await.json();
    let server = &free["server"];
    assert_eq!(server["version"], env!("CARGO_PKG_VERSION"));
    let instance = house.manager.server_info().instance;
    assert_eq!(server["instance"], instance.as_str());
    assert_eq!(
        free,
        serde_json::json!({"role": "operator", "name": null, "signed_in": false, "sign_in_required": false, "server": server})
    );
    let token = house.token("eve", Role::Viewer, None).await;
    let none = house.ask("GET", "/api/v1/session", None).await.json();
    assert_eq!(
        (&none["role"], &none["sign_in_required"]),
        (&"none".into(), &true.into())
    );
    assert!(none["server"].is_null(), "strangers learn nothing: {none}");
    assert_eq!(house.sign_in("guess").await.code(), "token_wrong");
    assert_eq!(house.sign_in("").await.code(), "token_wrong");

    let entered = house.sign_in(&token).await;
    assert_eq!(entered.status, 200, "{entered:?}");
    assert_eq!(entered.json()["role"], "viewer");
    let whole = entered.header("set-cookie").to_owned();
    for part in [
        "; HttpOnly",
        "; SameSite=Strict",
        "; Path=/",
        "; Max-Age=43200",
    ] {
        assert!(whole.contains(part), "{whole}");
    }
    assert!(
        !whole.contains("Secure") && !whole.contains(&token[3..]),
        "{whole}"
    );
    let cookie = cookie(&entered);
    let with = Some(("cookie", cookie.as_str()));
    let who = house.ask("GET", "/api/v1/session", with).await.json();
    assert_eq!(
        (&who["name"], &who["signed_in"]),
        (&"eve".into(), &true.into())
    );
    assert_eq!(house.ask("GET", "/api/v1/jobs", with).await.status, 200);
    let start = house.ask("POST", "/api/model-download/m/start", with).await;
    assert_eq!(start.code(), "role_too_low");
    // A header goes before the cookie, also a wrong one.
    let both = request("GET", "/api/v1/jobs")
        .header("cookie", &cookie)
        .header("authorization", "Bearer guess");
    assert_eq!(send(&house.doors, both).await.code(), "token_wrong");

    // Another site's page cannot use the cookie to write, whatever the browser sends.
    let admin = cookie_of_admin(&house).await;
    let cross = request("DELETE", "/api/v1/models/m")
        .header("cookie", &admin)
        .header("sec-fetch-site", "same-site");
    assert_eq!(send(&house.doors, cross).await.code(), "cross_site");

    let gone = house.ask("DELETE", "/api/v1/session", with).await;
    assert!(gone.header("set-cookie").contains("Max-Age=0"), "{gone:?}");
    assert_eq!(gone.json()["role"], "none");
    assert_eq!(
        house.ask("GET", "/api/v1/jobs", with).await.code(),
        "token_required"
    );
}

async fn cookie_of_admin(house: &House) -> String {
    let entered = house.sign_in(ADMIN).await;
    assert_eq!(entered.json()["role"], "admin");
    let cookie = cookie(&entered);
    let with = Some(("cookie", cookie.as_str()));
    let reply = house.ask("DELETE", "/api/v1/models/m", with).await;
    assert_eq!(reply.code(), "unknown_model", "the session is an admin's");
    cookie
}

#[tokio::test]
async fn a_session_dies_with_its_token() {
    let house = House::new(false, false).await;
    let other = house.token("other", Role::Viewer, None).await;
    let token = house
        .token("eve", Role::Operator, Some(Duration::from_hours(1)))
        .await;
    let (eve, other) = (
        cookie(&house.sign_in(&token).await),
        cookie(&house.sign_in(&other).await),
    );
    let read = async |cookie: &str| {
        let reply = house.ask("GET", "/api/v1/jobs", Some(("cookie", cookie)));
        reply.await.status
    };
    assert_eq!((read(&eve).await, read(&other).await), (200, 200));
    house.clock.advance(Duration::from_hours(1));
    assert_eq!((read(&eve).await, read(&other).await), (401, 200));
    house
        .manager
        .revoke_token(&"other".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(read(&other).await, 401);
}

#[tokio::test]
async fn a_cookie_is_secure_only_behind_a_proxy_that_is_believed() {
    for (proxied, proto, secure) in [
        (true, "https", true),
        (true, "http", false),
        (false, "https", false),
    ] {
        let house = House::new(false, proxied).await;
        let builder = request("POST", "/api/v1/session")
            .header("content-type", "application/json")
            .header("x-forwarded-proto", proto);
        let body = serde_json::json!({"token": ADMIN}).to_string();
        let reply = send_body(&house.doors, builder, body).await;
        let is = reply.header("set-cookie").contains("; Secure");
        assert_eq!(is, secure, "{proxied} {proto}: {reply:?}");
    }
}

#[tokio::test]
async fn a_sign_of_life_needs_no_database_and_a_closed_one_opens_no_door() {
    let house = House::new(false, false).await;
    house.manager.close().await;
    assert_eq!(house.status("GET", "/healthz", None).await, 200);
    assert_eq!(house.status("GET", "/", None).await, 200);
    let read = house.ask("GET", "/api/v1/jobs", None).await;
    assert_eq!(read.code(), "store_unavailable");
    let write = house.ask("POST", "/api/model-download/m/start", None).await;
    assert_eq!(write.code(), "store_unavailable");
    let session = house.ask("GET", "/api/v1/session", None).await.json();
    assert_eq!(session["role"], "none");
}
