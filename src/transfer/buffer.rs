//! Reused buffers with a fixed total: the engine's whole memory for file bytes.
//!
//! Invariant: no more buffers exist than the pool was made for; a task that wants one more waits, which is
//! the back-pressure from disk to network.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The buffers of one run.
#[derive(Debug)]
pub(super) struct BufferPool {
    bytes: usize,
    free: Mutex<Vec<Vec<u8>>>,
    permits: Arc<Semaphore>,
}

impl BufferPool {
    /// A pool of at most `count` buffers of `bytes` bytes; memory is taken when first used.
    pub(super) fn new(count: usize, bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes,
            free: Mutex::new(Vec::new()),
            permits: Arc::new(Semaphore::new(count)),
        })
    }

    /// An empty buffer, as soon as there is one.
    pub(super) async fn take(self: &Arc<Self>) -> Buffer {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .expect("the pool is never closed");
        let reused = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        Buffer {
            data: reused.unwrap_or_else(|| vec![0; self.bytes]),
            filled: 0,
            pool: Arc::clone(self),
            _permit: permit,
        }
    }
}

/// Some bytes on their way to the disk.
#[derive(Debug)]
pub(super) struct Buffer {
    /// As long as the pool's buffers are, always.
    data: Vec<u8>,
    filled: usize,
    pool: Arc<BufferPool>,
    _permit: OwnedSemaphorePermit,
}

impl Buffer {
    /// Where the next bytes go; what is in it before means nothing.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.data[self.filled..]
    }

    /// Takes the first `count` bytes of the room in.
    pub(super) fn filled(&mut self, count: usize) {
        self.filled += count;
        assert!(
            self.filled <= self.data.len(),
            "more than there was room for"
        );
    }

    /// Takes as many of `bytes` as fit and answers how many.
    #[cfg(test)]
    pub(super) fn fill(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room().len());
        self.room()[..count].copy_from_slice(&bytes[..count]);
        self.filled(count);
        count
    }

    /// Whether nothing more fits.
    pub(super) fn is_full(&self) -> bool {
        self.filled == self.data.len()
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The bytes in it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.data[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let data = std::mem::take(&mut self.data);
        self.pool
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(data);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_third_buffer_waits_until_one_is_given_back() {
        let pool = BufferPool::new(2, 4);
        let mut first = pool.take().await;
        let _second = pool.take().await;
        first.room()[..2].copy_from_slice(b"ab");
        first.filled(2);
        assert_eq!(first.bytes(), b"ab");
        assert_eq!(first.room().len(), 2);
        first.filled(2);
        assert!(first.is_full());
        let third = tokio::time::timeout(Duration::from_millis(20), pool.take()).await;
        assert!(third.is_err());
        drop(first);
        let third = pool.take().await;
        assert!(third.is_empty());
    }
}
