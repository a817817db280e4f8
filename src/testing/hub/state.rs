//! What all connections of one practice hub share.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};

use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::door::Order;
use super::fault::FaultBook;
use super::hold;
use super::ledger::Ledger;
use super::pace::Pace;
use super::request::Place;
use super::script::Script;
use super::settings::Settings;
use super::sign::Signer;
use super::world::World;
use crate::clock::{Clock as _, SystemClock};

/// One practice hub.
#[derive(Debug)]
pub(super) struct State {
    pub(super) world: Mutex<World>,
    pub(super) faults: FaultBook,
    pub(super) ledger: Ledger,
    pub(super) settings: Mutex<Settings>,
    pub(super) signer: Signer,
    pub(super) pace: Pace,
    pub(super) clock: SystemClock,
    pub(super) addresses: HashMap<Place, SocketAddr>,
    pub(super) doors: Mutex<HashMap<Place, UnboundedSender<Order>>>,
    pub(super) stop: CancellationToken,
    connections: AtomicU64,
}

impl State {
    pub(super) fn new(
        world: World,
        settings: Settings,
        addresses: HashMap<Place, SocketAddr>,
    ) -> Self {
        Self {
            world: Mutex::new(world),
            faults: FaultBook::default(),
            ledger: Ledger::default(),
            settings: Mutex::new(settings),
            signer: Signer::default(),
            pace: Pace::default(),
            clock: SystemClock::new(),
            addresses,
            doors: Mutex::default(),
            stop: CancellationToken::new(),
            connections: AtomicU64::new(0),
        }
    }

    pub(super) fn settings(&self) -> Settings {
        hold(&self.settings).clone()
    }

    pub(super) fn endpoint(&self, place: Place) -> String {
        format!("http://{}", self.addresses[&place])
    }

    pub(super) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Milliseconds since the start.
    pub(super) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    /// Opens or closes a door, and returns when it is done.
    pub(super) fn order(&self, place: Place, open: bool) -> io::Result<()> {
        let (done, answer) = mpsc::channel();
        let gone = || io::Error::other("the practice hub has stopped");
        let door = hold(&self.doors).get(&place).cloned().ok_or_else(gone)?;
        door.send(Order { open, done }).ok().ok_or_else(gone)?;
        answer.recv().ok().ok_or_else(gone)?
    }
}

impl State {
    /// Puts a script in the place of what is in force; repositories get a commit each, tokens stay valid.
    pub(super) fn play(&self, script: &Script) {
        self.faults.clear();
        self.faults.seed(script.seed);
        let mut world = hold(&self.world);
        world.tokens.extend(script.tokens.iter().cloned());
        for (spec, branch) in &script.repos {
            world.commit(spec, branch);
        }
        drop(world);
        *hold(&self.settings) = script.settings.clone();
        for fault in &script.faults {
            self.faults.add(fault.clone());
        }
    }

    /// Moves or makes a branch or tag; false when there is no such repository or commit.
    pub(super) fn move_ref(&self, id: &str, name: &str, commit: &str, tag: bool) -> bool {
        let mut world = hold(&self.world);
        let Some(repo) = world.repo_mut(id).filter(|repo| repo.has(commit)) else {
            return false;
        };
        let refs = if tag {
            &mut repo.tags
        } else {
            &mut repo.branches
        };
        refs.insert(name.to_owned(), commit.to_owned());
        true
    }
}
