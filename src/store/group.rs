//! Group commit: writes that wait at the same time share one transaction, and so one wait for the disk.
//!
//! Each write has a savepoint of its own, so one that fails takes back nothing but itself. Nobody is answered before
//! the commit, and a failed commit fails them all. Nothing is delayed on purpose: a write that comes alone is
//! committed alone, and those that come during its commit are the next group. What a write does is its caller's.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::writer::Tx;
use super::{Result, StoreError};

/// Most writes of one transaction: a heartbeat of the worker waits for one of them, so it must stay short.
const MOST: usize = 64;

/// Tells the caller; with an error when the commit failed.
type Answer = Box<dyn FnOnce(std::result::Result<(), &StoreError>) + Send>;

/// What a write did within its savepoint.
struct Done {
    failure: Option<StoreError>,
    answer: Answer,
}

trait Write: Send {
    /// Whether anybody still waits for it.
    fn is_wanted(&self) -> bool;

    fn run<'t>(self: Box<Self>, tx: &'t mut Tx) -> BoxFuture<'t, Done>
    where
        Self: 't;

    fn refuse(self: Box<Self>, error: &StoreError);
}

/// What is written, and who waits for the answer.
struct Asked<F, T> {
    write: F,
    reply: oneshot::Sender<Result<T>>,
}

impl<F, T> Write for Asked<F, T>
where
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send,
    T: Send + 'static,
{
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run<'t>(self: Box<Self>, tx: &'t mut Tx) -> BoxFuture<'t, Done>
    where
        Self: 't,
    {
        let Self { write, reply } = *self;
        Box::pin(async move {
            let outcome = write(tx).await;
            Done {
                failure: outcome.as_ref().err().map(StoreError::again),
                answer: Box::new(move |committed| {
                    let outcome = outcome.and_then(|value| {
                        committed.map_err(StoreError::again)?;
                        Ok(value)
                    });
                    // A caller that has gone away asks again and finds the row.
                    drop(reply.send(outcome));
                }),
            }
        })
    }

    fn refuse(self: Box<Self>, error: &StoreError) {
        drop(self.reply.send(Err(error.again())));
    }
}

/// The writes that wait for the next transaction.
#[derive(Default)]
pub(super) struct Group {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Box<dyn Write>>,
    /// Whether a leader commits for all.
    led: bool,
}

impl fmt::Debug for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Group").finish_non_exhaustive()
    }
}

impl Group {
    /// Adds a write; answers whether the caller must see to a [`lead`], and where the answer comes.
    fn add<F, T>(&self, write: F) -> (bool, oneshot::Receiver<Result<T>>)
    where
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.waiting.push_back(Box::new(Asked { write, reply }));
        (!std::mem::replace(&mut queue.led, true), answer)
    }

    /// Whether somebody waits; if not, the leader's time is over.
    fn goes_on(&self) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.led = !queue.waiting.is_empty();
        queue.led
    }

    /// The next writes.
    fn next(&self) -> Vec<Box<dyn Write>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let count = queue.waiting.len().min(MOST);
        queue.waiting.drain(..count).collect()
    }
}

impl super::Store {
    /// Runs a write together with others that wait; answers after the commit.
    pub(super) async fn grouped<F, T>(&self, write: F) -> Result<T>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let group = &self.inner.group;
        let (leads, answer) = group.add(write);
        if leads {
            // A task of its own, because the others wait for it when this caller goes away.
            self.inner
                .tasks
                .spawn(lead(Arc::clone(group), self.clone()));
        }
        let nobody = || Err(StoreError::Database(sqlx::Error::WorkerCrashed));
        answer.await.unwrap_or_else(|_gone| nobody())
    }
}

/// Gives up the lead when the leader ends in a way that was not foreseen: whoever waits hears that nothing was done.
struct Lead(Arc<Group>);

impl Drop for Lead {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.led = false;
            queue.waiting.clear();
        }
    }
}

/// Commits group after group until nobody waits. It must run to its end whoever goes away.
async fn lead(group: Arc<Group>, store: super::Store) {
    let lead = Lead(group);
    while lead.0.goes_on() {
        // The lock first: whoever comes while it is waited for is in this group already.
        let begun = store.writer().begin().await;
        let writes = lead.0.next();
        match begun {
            Ok(tx) => commit(tx, writes).await,
            Err(error) => refuse(writes, &error),
        }
    }
}

async fn commit(mut tx: Tx, writes: Vec<Box<dyn Write>>) {
    let mut answers = Vec::with_capacity(writes.len());
    let mut writes = writes.into_iter();
    let mut broken = None;
    for write in writes.by_ref() {
        if !write.is_wanted() {
            continue;
        }
        match one(&mut tx, write).await {
            Ok(answer) => answers.push(answer),
            Err((error, answer)) => {
                answers.extend(answer);
                broken = Some(error);
                break;
            }
        }
    }
    let committed = if let Some(error) = broken {
        // SQLite has ended the transaction by itself, as it does on a full disk: all that it held is gone.
        drop(tx);
        Err(error)
    } else {
        failpoint!("start-before-commit");
        let committed = tx.commit().await;
        failpoint!("start-committed");
        committed
    };
    for answer in answers {
        answer(committed.as_ref().map(drop));
    }
    if let Err(error) = &committed {
        refuse(writes.collect(), error);
    }
}

/// One write in its savepoint; an error means that the whole transaction is of no use any more.
async fn one(
    tx: &mut Tx,
    write: Box<dyn Write>,
) -> std::result::Result<Answer, (StoreError, Option<Answer>)> {
    if let Err(error) = tx.save().await {
        write.refuse(&error);
        return Err((error, None));
    }
    let Done { failure, answer } = write.run(tx).await;
    match tx.end_part(failure.is_none()).await {
        Ok(()) => Ok(answer),
        // That the savepoint is gone only follows from what went wrong before.
        Err(error) => Err((failure.unwrap_or(error), Some(answer))),
    }
}

fn refuse(writes: Vec<Box<dyn Write>>, error: &StoreError) {
    for write in writes {
        write.refuse(error);
    }
}
