//! The practice hub as a test holds it: started, told what to do, asked what happened, dropped.
//!
//! It runs on threads of its own, so tests with or without a runtime, and with a paused clock, use
//! it alike; when it is dropped, its ports and threads are gone before the drop returns.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio_util::task::TaskTracker;

use super::door;
use super::fault::Fault;
use super::hold;
use super::ledger::{Counters, Recorded};
use super::repo::RepoSpec;
use super::request::Place;
use super::script::Script;
use super::settings::{HubConfig, Settings};
use super::state::State;
use super::world::World;

/// Files up to this size have their digest before the first request.
const EAGER: u64 = 256 << 20;

/// A local stand-in for the hub.
#[derive(Debug)]
pub struct PracticeHub {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl PracticeHub {
    /// Starts a hub on loopback; it listens when this returns.
    pub fn start(config: HubConfig) -> io::Result<Self> {
        let mut world = World::default();
        world.tokens.extend(config.tokens);
        for repo in &config.repos {
            settle(repo);
            world.commit(repo, "main");
        }
        let mut reserved = Vec::new();
        let mut addresses = HashMap::new();
        for (place, port) in [
            (Place::Hub, config.port),
            (Place::Cdn, 0),
            (Place::Control, config.control_port),
        ] {
            let socket = door::reserve(port)?;
            addresses.insert(place, socket.local_addr()?);
            reserved.push((place, socket));
        }
        let state = Arc::new(State::new(world, config.settings, addresses));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("practice-hub")
            .enable_all()
            .build()?;
        let tracker = TaskTracker::new();
        for (place, socket) in reserved {
            let (orders, inbox) = unbounded_channel();
            hold(&state.doors).insert(place, orders);
            let run = door::run(Arc::clone(&state), place, socket, inbox, tracker.clone());
            tracker.spawn_on(run, runtime.handle());
        }
        let stop = state.stop.clone();
        let thread = std::thread::Builder::new()
            .name("practice-hub".to_owned())
            .spawn(move || {
                runtime.block_on(stop.cancelled());
                runtime.shutdown_timeout(Duration::from_secs(2));
            })?;
        let hub = Self {
            state,
            thread: Some(thread),
        };
        for place in [Place::Hub, Place::Cdn, Place::Control] {
            hub.state.order(place, true)?;
        }
        Ok(hub)
    }

    /// Starts a hub that follows a script, on these ports for hub and control; 0 takes a free one.
    pub fn follow(script: &Script, port: u16, control_port: u16) -> io::Result<Self> {
        let hub = Self::start(HubConfig {
            port,
            control_port,
            ..HubConfig::default()
        })?;
        hub.play(script);
        Ok(hub)
    }

    /// Puts a script in the place of the faults and settings in force; its repositories get a commit each.
    pub fn play(&self, script: &Script) {
        for (spec, _) in &script.repos {
            settle(spec);
        }
        self.state.play(script);
    }

    /// Switches the faults of this name on or off; false when there is none.
    pub fn switch(&self, name: &str, on: bool) -> bool {
        self.state.faults.switch(name, on) > 0
    }

    /// The hub's address, as `HF_ENDPOINT` takes it.
    pub fn endpoint(&self) -> String {
        self.state.endpoint(Place::Hub)
    }

    /// The CDN's address: another origin.
    pub fn cdn_endpoint(&self) -> String {
        self.state.endpoint(Place::Cdn)
    }

    /// The address of the control door.
    pub fn control_endpoint(&self) -> String {
        self.state.endpoint(Place::Control)
    }

    /// The address of a file as a plain download, without the hub's protocol.
    pub fn plain_url(&self, repo: &str, path: &str) -> String {
        format!("{}/plain/{repo}/{path}", self.cdn_endpoint())
    }

    /// Adds a repository, or the next commit on `main` of one that exists; returns the commit.
    pub fn add_repo(&self, spec: &RepoSpec) -> String {
        self.commit(spec, "main")
    }

    /// Adds a commit on a branch; the branch moves to it. Flags count only for a new repository.
    pub fn commit(&self, spec: &RepoSpec, branch: &str) -> String {
        settle(spec);
        hold(&self.state.world).commit(spec, branch)
    }

    /// Removes a repository; false when there is none.
    pub fn remove_repo(&self, id: &str) -> bool {
        hold(&self.state.world).remove(id)
    }

    /// Renames a repository; its old name redirects.
    pub fn rename_repo(&self, old: &str, new: &str) -> bool {
        hold(&self.state.world).rename(old, new)
    }

    /// The commit that a revision means now.
    pub fn head(&self, id: &str, revision: &str) -> Option<String> {
        let world = hold(&self.state.world);
        Some(world.repo(id)?.find(revision)?.sha.clone())
    }

    /// Moves or makes a branch; false when there is no such repository or commit.
    pub fn move_branch(&self, id: &str, branch: &str, commit: &str) -> bool {
        self.state.move_ref(id, branch, commit, false)
    }

    /// Moves or makes a tag; false when there is no such repository or commit.
    pub fn move_tag(&self, id: &str, tag: &str, commit: &str) -> bool {
        self.state.move_ref(id, tag, commit, true)
    }

    /// Puts a fault in force; returns its number.
    pub fn fault(&self, fault: Fault) -> u64 {
        self.state.faults.add(fault)
    }

    /// Lifts one fault; false when it is not in force.
    pub fn lift(&self, fault: u64) -> bool {
        self.state.faults.remove(fault)
    }

    /// Lifts all faults.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// How often a fault has struck; 0 when it is not in force.
    pub fn struck(&self, fault: u64) -> u64 {
        self.state.faults.struck(fault).unwrap_or(0)
    }

    /// Makes every signed link that was handed out so far worthless.
    pub fn expire_links(&self) {
        self.state.signer.expire_all();
    }

    /// Makes a token valid.
    pub fn add_token(&self, token: &str) {
        hold(&self.state.world).tokens.insert(token.to_owned());
    }

    /// Makes a token invalid.
    pub fn revoke_token(&self, token: &str) {
        hold(&self.state.world).tokens.remove(token);
    }

    /// Lets a token read a gated or private repository; false when there is none.
    pub fn grant(&self, token: &str, id: &str) -> bool {
        let mut world = hold(&self.state.world);
        let repo = world.repo_mut(id);
        repo.map(|repo| repo.allowed.push(token.to_owned()))
            .is_some()
    }

    /// Closes or opens the access to a repository for everybody; false when there is none.
    pub fn disable_repo(&self, id: &str, disabled: bool) -> bool {
        let mut world = hold(&self.state.world);
        let repo = world.repo_mut(id);
        repo.map(|repo| repo.disabled = disabled).is_some()
    }

    /// Changes settings while the hub runs.
    pub fn tune(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut hold(&self.state.settings));
    }

    /// Refuses connections and breaks those that are open.
    pub fn close(&self, place: Place) -> io::Result<()> {
        self.state.order(place, false)
    }

    /// Listens again, on the same port.
    pub fn open(&self, place: Place) -> io::Result<()> {
        self.state.order(place, true)
    }

    /// The requests so far, oldest first; at most the newest 50,000.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.ledger.records()
    }

    /// The requests that a glob means, by path or by `repository/file`.
    pub fn requests_for(&self, pattern: &str) -> Vec<Recorded> {
        let mut records = self.requests();
        records.retain(|record| record.matches(pattern));
        records
    }

    /// Body bytes that were written for what a glob means.
    pub fn bytes_sent(&self, pattern: &str) -> u64 {
        let records = self.requests_for(pattern);
        records.iter().map(|record| record.bytes_sent).sum()
    }

    /// Body bytes that were written by both doors.
    pub fn total_bytes_sent(&self) -> u64 {
        let counters = self.counters();
        counters.hub_bytes + counters.cdn_bytes
    }

    /// The totals.
    pub fn counters(&self) -> Counters {
        self.state.ledger.counters()
    }

    /// Forgets requests and totals.
    pub fn reset_records(&self) {
        self.state.ledger.reset();
    }
}

impl Drop for PracticeHub {
    fn drop(&mut self) {
        self.state.stop.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the practice hub's thread panicked");
        }
    }
}

fn settle(spec: &RepoSpec) {
    for file in spec
        .files
        .iter()
        .filter(|file| file.content.size() <= EAGER)
    {
        file.etag();
    }
}
