//! Answers that are kept in memory while nothing changes.
//!
//! Invariant: an answer is handed out only while the database has the version that was taken before its rows were
//! read, the same job runs in this process, it is younger than [`LONGEST`], because the cache's files have no
//! version, and it `lasts`: what says that files are there is never kept for those who come later. So a caller always
//! sees its own writes, and another process's within a quarter of a second. One caller reads for all that wait for it
//! to begin. The running job's numbers are not kept: they are added to each answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Result;
use crate::domain::{JobId, ModelId};
use crate::queue::Context;
use crate::store::Version;

/// How old an answer may get; what is known of other processes may be 100 ms older.
const LONGEST: Duration = Duration::from_millis(150);
/// For how many models answers are kept.
const MOST: usize = 512;

/// What an answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Basis {
    version: Version,
    running: Option<JobId>,
}

impl Basis {
    async fn now(context: &Context) -> Result<Self> {
        let running = context.live.current().map(|job| job.id);
        let version = context.store.version().await?;
        Ok(Self { version, running })
    }
}

/// One answer.
#[derive(Debug)]
pub(super) struct Kept<T> {
    last: Mutex<Option<(Basis, Instant, Arc<T>)>>,
    making: tokio::sync::Mutex<()>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            last: Mutex::new(None),
            making: tokio::sync::Mutex::default(),
        }
    }
}

impl<T> Kept<T> {
    /// The answer that is kept, or what `make` reads when that one is not good any more.
    pub(super) async fn get<F: Future<Output = Result<T>>>(
        &self,
        context: &Context,
        lasts: fn(&T) -> bool,
        make: impl FnOnce() -> F,
    ) -> Result<Arc<T>> {
        self.get_by(|| Basis::now(context), lasts, make).await
    }

    async fn get_by<B: Future<Output = Result<Basis>>, F: Future<Output = Result<T>>>(
        &self,
        basis: impl Fn() -> B,
        lasts: fn(&T) -> bool,
        make: impl FnOnce() -> F,
    ) -> Result<Arc<T>> {
        let came = Instant::now();
        if let Some(value) = self.good_for(came, basis().await?, lasts) {
            return Ok(value);
        }
        let _making = self.making.lock().await;
        // Taken anew: the one before may have read its rows after this caller's own write, or not.
        let basis = basis().await?;
        if let Some(value) = self.good_for(came, basis, lasts) {
            return Ok(value);
        }
        let asked = Instant::now();
        // Reading takes much more room than finding what is kept, which is what happens most.
        let value = Arc::new(Box::pin(make()).await?);
        *self.lock() = Some((basis, asked, Arc::clone(&value)));
        Ok(value)
    }

    /// What is kept, if it is as good as what a caller would read who came at that time.
    fn good_for(&self, came: Instant, now: Basis, lasts: fn(&T) -> bool) -> Option<Arc<T>> {
        let last = self.lock();
        let (basis, asked, value) = last.as_ref()?;
        // What was begun after the caller came is as new as what it would read itself.
        let fresh = *asked >= came || (asked.elapsed() < LONGEST && lasts(value));
        (*basis == now && fresh).then(|| Arc::clone(value))
    }

    fn is_old(&self) -> bool {
        let last = self.lock();
        last.as_ref()
            .is_none_or(|(_, asked, _)| asked.elapsed() >= LONGEST)
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Basis, Instant, Arc<T>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One answer for each of the models that are asked for.
#[derive(Debug)]
pub(super) struct KeptByModel<T>(Mutex<HashMap<ModelId, Arc<Kept<T>>>>);

impl<T> Default for KeptByModel<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> KeptByModel<T> {
    /// The place of the model's answer.
    pub(super) fn of(&self, id: &ModelId) -> Arc<Kept<T>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = all.get(id) {
            return Arc::clone(kept);
        }
        if all.len() >= MOST {
            all.retain(|_, kept| !kept.is_old());
        }
        if all.len() >= MOST {
            all.clear();
        }
        Arc::clone(all.entry(id.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn what_does_not_last_is_shared_only_with_those_who_came_before_it_was_read() {
        let (kept, gate, reads) = (Kept::default(), Semaphore::new(0), AtomicU32::new(0));
        let basis = || {
            std::future::ready(Ok(Basis {
                version: Version::default(),
                running: None,
            }))
        };
        let read = async || {
            let number = reads.fetch_add(1, Ordering::SeqCst) + 1;
            gate.acquire().await.expect("never closed").forget();
            Ok(number)
        };
        let ask = || kept.get_by(basis, |_| false, read);
        // The first one reads; those that come meanwhile may not have its answer, but one of them reads for all.
        let all = futures_util::future::join_all((0..8).map(|_| ask()));
        let open = async {
            while reads.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            gate.add_permits(8);
        };
        let (answers, ()) = tokio::join!(all, open);
        let answers: Vec<u32> = answers.into_iter().map(|it| *it.unwrap()).collect();
        assert_eq!(answers, [1, 2, 2, 2, 2, 2, 2, 2]);
        // Whoever comes later has it read anew.
        gate.add_permits(1);
        assert_eq!(*ask().await.unwrap(), 3);
    }

    #[test]
    fn only_so_many_models_are_kept() {
        let kept = KeptByModel::<u8>::default();
        for n in 0..3 * MOST {
            kept.of(&format!("model-{n}").parse().unwrap());
        }
        assert!(kept.0.lock().unwrap().len() <= MOST);
        let id = "one".parse().unwrap();
        assert!(Arc::ptr_eq(&kept.of(&id), &kept.of(&id)));
    }
}
