//! The queue: who works, which job runs, and how one job is done step by step.
//!
//! This floor is the only place where the engines (store, hub, cache, catalog, transfer) meet. Its invariant: a
//! row changes only under the fence of the lease that claimed it, and a file gets its final name only inside
//! the transaction that checks that fence.

mod adopt;
mod app;
mod compare;
mod context;
mod dry_run;
mod fetch;
mod growth;
mod halt;
mod handlers;
mod hub_supply;
mod inspect;
mod keeper;
mod lease;
mod live;
mod notes;
pub(crate) mod outbox;
mod past;
mod plan;
mod presence;
mod publish;
mod reporter;
mod reports;
mod retry;
mod run;
mod scheduler;
mod settle;
mod sightings;
mod source;
mod supply;
mod upkeep;
mod url_dry_run;
mod url_supply;
mod verify;
mod verify_plan;
mod web_client;
mod worker;

#[cfg(test)]
mod tests;

pub(crate) use adopt::adopt;
pub(crate) use context::{Context, Engines, QueueOptions};
pub(crate) use fetch::blocking;
pub use handlers::{DownloadHandler, HandlerContext, HandlerError};
pub(crate) use inspect::inspect;
pub(crate) use live::Numbers;
pub(crate) use plan::Wanted;
pub(crate) use presence::Presence;
pub use reports::HandlerProgress;
pub(crate) use retry::RetryPolicy;
pub(crate) use run::store_failure;
pub(crate) use scheduler::{Role, Scheduler};
pub use web_client::{HandlerBody, HandlerClient};
