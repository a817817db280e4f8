//! I8: while a fault lasts, `/healthz` goes on answering soon.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::{Client, Service, slowness};

/// How long an answer may take.
const SOON: Duration = Duration::from_secs(1);
/// One slow answer may be the machine's; so many in a row are the service's.
const IN_A_ROW: u32 = 3;

/// Asks a service for its health until it is told to stop.
#[derive(Debug)]
pub(crate) struct Health {
    over: Arc<AtomicBool>,
    watcher: Option<JoinHandle<Result<u32, String>>>,
}

impl Health {
    /// Watches from now on.
    pub(crate) fn watch(service: &Service) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let client = service.http().clone();
        let watcher = std::thread::spawn(move || ask(&client, &told));
        Self {
            over,
            watcher: Some(watcher),
        }
    }

    /// Stops, and checks that the answers came; returns how many.
    #[track_caller]
    pub(crate) fn check(mut self) -> u32 {
        self.over.store(true, Ordering::Relaxed);
        let asked = self.watcher.take().unwrap().join().unwrap();
        asked.unwrap_or_else(|error| panic!("I8: {error}"))
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn ask(client: &Client, over: &AtomicBool) -> Result<u32, String> {
    let (mut answers, mut bad) = (0, 0);
    while !over.load(Ordering::Relaxed) {
        let since = Instant::now();
        let status = client
            .try_request("GET", "/healthz", &[], None)
            .map(|reply| reply.status);
        let took = since.elapsed();
        answers += 1;
        bad = match &status {
            Ok(200) if took < SOON.mul_f64(slowness()) => 0,
            _ => bad + 1,
        };
        if bad >= IN_A_ROW {
            return Err(format!(
                "/healthz answered {status:?} after {took:?}, {bad} times in a row"
            ));
        }
        // A pause that ends at once when the case is over.
        std::thread::park_timeout(Duration::from_millis(50));
    }
    Ok(answers)
}
