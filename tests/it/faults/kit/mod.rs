//! What the cases share: the line that each writes, and the invariants that hold after every one.

mod case;
mod health;
mod invariants;
mod ledger;
mod rig;
#[cfg(test)]
mod tests;

pub(super) use crate::support::slowness;

pub(super) use self::{
    case::Case,
    health::Health,
    invariants::Invariants,
    ledger::Ledger,
    rig::{FILE, ID, Rig, SIZE, Setup, model, range_start},
};
