//! Faults: which requests a fault means, when it strikes, and what it does.
//!
//! Each fault counts the requests that it means, so "the second range request for this file" can be
//! said. Several faults may strike one request; they add up.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::content::mix;
use super::hold;
use super::mischief::Mischief;
use super::misdeed::Misdeed;
use super::request::{Place, Request};

/// Which of the requests that a fault means it strikes, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// All of them.
    #[default]
    Always,
    /// The first n.
    First(u64),
    /// Only the n-th.
    Nth(u64),
    /// Every n-th.
    Every(u64),
    /// All after the first n.
    After(u64),
    /// So many of a hundred, chosen by the seed: the same ones in every run.
    Percent(u64),
}

impl When {
    /// `luck` is a number that depends on seed and fault.
    fn strikes(self, count: u64, luck: u64) -> bool {
        match self {
            Self::Always => true,
            Self::First(n) => count <= n,
            Self::Nth(n) => count == n,
            Self::Every(n) => n > 0 && count.is_multiple_of(n),
            Self::After(n) => count > n,
            Self::Percent(n) => mix(luck ^ mix(count)) % 100 < n,
        }
    }
}

/// A fault: whom it means, when it strikes, what it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// A glob over the path or over `repository/file`; `*` means any characters, slashes too.
    pub path: String,
    /// The door; none for both.
    #[serde(default)]
    pub place: Option<Place>,
    /// The method; none for all.
    #[serde(default)]
    pub method: Option<String>,
    /// Which of those requests.
    #[serde(default)]
    pub when: When,
    /// What happens.
    pub does: Misdeed,
    /// A name by which it is switched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it waits to be switched on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub off: bool,
}

impl Fault {
    /// A fault on every request that the glob means, whatever its method and door.
    pub fn new(path: &str, does: Misdeed) -> Self {
        Self {
            path: path.to_owned(),
            place: None,
            method: None,
            when: When::Always,
            does,
            name: None,
            off: false,
        }
    }

    /// A fault on the CDN's answers to GET.
    pub fn cdn(path: &str, does: Misdeed) -> Self {
        Self::new(path, does).at(Place::Cdn).method("GET")
    }

    /// A fault on the hub.
    pub fn hub(path: &str, does: Misdeed) -> Self {
        Self::new(path, does).at(Place::Hub)
    }

    /// Only at this door.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Only for this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only some of the requests.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// Only the first n requests.
    #[must_use]
    pub fn first(self, n: u64) -> Self {
        self.when(When::First(n))
    }

    fn means(&self, place: Place, request: &Request, object: Option<&str>) -> bool {
        self.place.is_none_or(|wanted| wanted == place)
            && self
                .method
                .as_ref()
                .is_none_or(|wanted| *wanted == request.method)
            && (glob(&self.path, &request.path)
                || object.is_some_and(|name| glob(&self.path, name)))
    }
}

#[derive(Debug)]
struct Entry {
    fault: Fault,
    seen: u64,
    struck: u64,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(super) struct FaultBook {
    entries: Mutex<(u64, BTreeMap<u64, Entry>)>,
    seed: AtomicU64,
}

impl FaultBook {
    /// Decides which requests are meant by chance.
    pub(super) fn seed(&self, seed: u64) {
        self.seed.store(seed, Ordering::Relaxed);
    }

    /// Switches the faults of this name on or off; answers how many there are.
    pub(super) fn switch(&self, name: &str, on: bool) -> usize {
        let mut entries = hold(&self.entries);
        let named = entries
            .1
            .values_mut()
            .filter(|entry| entry.fault.name.as_deref() == Some(name));
        named.map(|entry| entry.fault.off = !on).count()
    }

    pub(super) fn add(&self, fault: Fault) -> u64 {
        let mut entries = hold(&self.entries);
        entries.0 += 1;
        let id = entries.0;
        entries.1.insert(
            id,
            Entry {
                fault,
                seen: 0,
                struck: 0,
            },
        );
        id
    }

    pub(super) fn remove(&self, id: u64) -> bool {
        hold(&self.entries).1.remove(&id).is_some()
    }

    pub(super) fn clear(&self) {
        hold(&self.entries).1.clear();
    }

    /// How often a fault has struck; none when it is gone.
    pub(super) fn struck(&self, id: u64) -> Option<u64> {
        hold(&self.entries).1.get(&id).map(|entry| entry.struck)
    }

    pub(super) fn list(&self) -> Vec<(u64, Fault, u64)> {
        let entries = hold(&self.entries);
        let list = entries.1.iter();
        list.map(|(id, entry)| (*id, entry.fault.clone(), entry.struck))
            .collect()
    }

    /// Everything that happens to this request; counts it.
    pub(super) fn strike(&self, place: Place, request: &Request, object: Option<&str>) -> Mischief {
        let mut mischief = Mischief::default();
        let seed = self.seed.load(Ordering::Relaxed);
        for (id, entry) in &mut hold(&self.entries).1 {
            if entry.fault.off || !entry.fault.means(place, request, object) {
                continue;
            }
            entry.seen += 1;
            if entry.fault.when.strikes(entry.seen, mix(seed) ^ id) {
                entry.struck += 1;
                mischief.add(&entry.fault.does);
            }
        }
        mischief
    }
}

/// Whether a pattern with `*` (any characters) and `?` (one character) means the whole text.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|c| *c == b'?' || *c == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}
