//! The control door: the same orders over HTTP, for tests in other processes.
//!
//! | route | does |
//! |---|---|
//! | `GET /counters` | totals |
//! | `GET /requests?path=GLOB`, `DELETE /requests` | the records; forget them |
//! | `GET`, `POST`, `DELETE /faults`, `DELETE /faults/{id}` | faults in force |
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
use super::content::Content;
use super::fault::Fault;
use super::mischief::Mischief;
use super::repo::{Gate, RepoSpec};
use super::request::{Place, Request};
use super::settings::Settings;
use super::state::State;
use super::{hold, request, wire};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCommit {
    id: String,
    #[serde(default = "main_branch")]
    branch: String,
    files: Vec<NewFile>,
    #[serde(default)]
    gate: Gate,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFile {
    path: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    seed: u64,
    text: Option<String>,
    lfs: Option<bool>,
}

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

fn main_branch() -> String {
    "main".to_owned()
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
            let new: NewCommit = serde_json::from_slice(body)?;
            let branch = new.branch.clone();
            let commit = hold(&state.world).commit(&new.spec(), &branch);
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

impl NewCommit {
    fn spec(self) -> RepoSpec {
        let mut spec = RepoSpec::new(&self.id).gated(self.gate);
        spec.private = self.private;
        spec.allowed = self.allow;
        for file in self.files {
            let lfs = file.lfs.unwrap_or(file.text.is_none());
            let content = match file.text {
                Some(text) => Content::bytes(text),
                None => Content::generated(file.seed, file.size),
            };
            spec = if lfs {
                spec.lfs(&file.path, content)
            } else {
                spec.file(&file.path, content)
            };
        }
        spec
    }
}
