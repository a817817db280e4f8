//! The control door: the same orders over HTTP, for tests in other processes.
//!
//! | route | does |
//! |---|---|
//! | `GET /counters` | totals |
//! | `GET /requests?path=GLOB`, `DELETE /requests` | the records; forget them |
//! | `GET`, `POST`, `DELETE /faults`, `DELETE /faults/{id}` | faults in force |
//! | `POST /switch` `{name, on}` | switches the faults of that name |
//! | `POST /script` | a whole script in TOML: its faults and settings replace what is in force, its repositories get a commit |
//! | `GET`, `PATCH /settings` | what may change while it runs |
//! | `POST /repos` `{id, branch?, files: [{path, size?, seed?, text?, lfs?}], gate?, private?, allow?}` | a commit |
//! | `POST /refs` `{repo, name, commit, tag?}` | moves a branch or a tag |
//! | `POST /doors` `{place, open}` | closes and opens the hub or the CDN |
//! | `POST /expire` | makes all signed links worthless |

use std::io;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::block_in_place;

use super::answer::Answer;
use super::fault::Fault;
use super::mischief::Mischief;
use super::request::{Place, Request};
use super::script::{RepoEntry, Script};
use super::settings::Settings;
use super::state::State;
use super::{hold, request, wire};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveRef {
    repo: String,
    name: String,
    commit: String,
    #[serde(default)]
    tag: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveDoor {
    place: Place,
    open: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    name: String,
    on: bool,
}

/// Serves a connection to the control door.
pub(super) async fn serve(state: &State, mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(request) = request::read(&mut stream, &mut buffer).await? {
        let answer = block_in_place(|| answer(state, &request))
            .unwrap_or_else(|error| Answer::json(400, &json!({ "error": error.to_string() })));
        let ticket = wire::Ticket {
            state,
            place: Place::Control,
            number: 0,
            head: request.method == "HEAD",
            close: request.wants_close(),
        };
        let sent = wire::send(&mut stream, &ticket, answer, &Mischief::default()).await?;
        if sent.close {
            break;
        }
    }
    Ok(())
}

fn answer(state: &State, request: &Request) -> io::Result<Answer> {
    let parts = request.parts();
    let words: Vec<&str> = parts.iter().map(String::as_str).collect();
    let body = request.body.as_slice();
    let done = |done: bool| {
        let status = if done { 200 } else { 404 };
        Ok(Answer::json(status, &json!({ "done": done })))
    };
    match (request.method.as_str(), words.as_slice()) {
        ("GET", ["counters"]) => reply(&state.ledger.counters()),
        ("GET", ["requests"]) => {
            let pattern = request.param("path").unwrap_or_else(|| "*".to_owned());
            let mut records = state.ledger.records();
            records.retain(|record| record.matches(&pattern));
            reply(&records)
        }
        ("DELETE", ["requests"]) => {
            state.ledger.reset();
            done(true)
        }
        ("GET", ["faults"]) => {
            let list = state.faults.list();
            let list: Vec<Value> = list
                .iter()
                .map(|(id, fault, struck)| json!({"id": id, "fault": fault, "struck": struck}))
                .collect();
            reply(&list)
        }
        ("POST", ["faults"]) => {
            let fault: Fault = serde_json::from_slice(body)?;
            reply(&json!({ "id": state.faults.add(fault) }))
        }
        ("DELETE", ["faults"]) => {
            state.faults.clear();
            done(true)
        }
        ("DELETE", ["faults", id]) => done(id.parse().is_ok_and(|id| state.faults.remove(id))),
        ("POST", ["switch"]) => {
            let order: Switch = serde_json::from_slice(body)?;
            done(state.faults.switch(&order.name, order.on) > 0)
        }
        ("POST", ["script"]) => {
            let text = std::str::from_utf8(body).map_err(io::Error::other)?;
            let script = Script::read(text).map_err(io::Error::other)?;
            state.play(&script);
            done(true)
        }
        ("GET", ["settings"]) => reply(&state.settings()),
        ("PATCH", ["settings"]) => {
            let mut value = serde_json::to_value(state.settings())?;
            let change: serde_json::Map<String, Value> = serde_json::from_slice(body)?;
            for (name, new) in change {
                value[name] = new;
            }
            let settings: Settings = serde_json::from_value(value)?;
            *hold(&state.settings) = settings.clone();
            reply(&settings)
        }
        ("POST", ["repos"]) => {
            let new: RepoEntry = serde_json::from_slice(body)?;
            let branch = new.branch.clone();
            let spec = new.spec(0).map_err(io::Error::other)?;
            let commit = hold(&state.world).commit(&spec, &branch);
            reply(&json!({ "commit": commit }))
        }
        ("POST", ["refs"]) => {
            let order: MoveRef = serde_json::from_slice(body)?;
            done(state.move_ref(&order.repo, &order.name, &order.commit, order.tag))
        }
        ("POST", ["doors"]) => {
            let order: MoveDoor = serde_json::from_slice(body)?;
            if order.place == Place::Control {
                return Err(io::Error::other("the control door stays open"));
            }
            state.order(order.place, order.open)?;
            done(true)
        }
        ("POST", ["expire"]) => {
            state.signer.expire_all();
            done(true)
        }
        _ => Ok(Answer::json(404, &json!({ "error": "no such route" }))),
    }
}

fn reply(value: &impl serde::Serialize) -> io::Result<Answer> {
    Ok(Answer::json(200, &serde_json::to_value(value)?))
}
