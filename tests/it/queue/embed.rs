//! The library in an app: models that the app's own function downloads.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use modelhaul::clock::SystemClock;
use modelhaul::domain::ModelStatus;
use modelhaul::manager::{
    DownloadHandler, HandlerContext, HandlerError, ManagerOptions, UnifiedModelDownloadManager,
    WorkScope,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(30);

/// What the app's function does.
#[derive(Debug, Clone, Copy)]
enum Does {
    Succeed,
    Panic,
    Refuse {
        retryable: bool,
    },
    /// Returns when it is told to stop.
    Obey,
    /// Never returns.
    Ignore,
}

#[derive(Debug)]
struct Handler {
    does: Does,
    calls: AtomicU32,
    stopped: AtomicU32,
}

impl Handler {
    fn new(does: Does) -> Arc<Self> {
        Arc::new(Self {
            does,
            calls: AtomicU32::new(0),
            stopped: AtomicU32::new(0),
        })
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }
}

type Done<'a> = Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send + 'a>>;

impl DownloadHandler for Handler {
    fn download(&self, context: HandlerContext) -> Done<'_> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            match self.does {
                Does::Succeed => Ok(()),
                Does::Panic => panic!("a defect of the app"),
                Does::Refuse { retryable } => Err(HandlerError {
                    message: "the mirror is closed".to_owned(),
                    retryable,
                }),
                Does::Obey => {
                    context.cancelled.cancelled().await;
                    self.stopped.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                }
                Does::Ignore => std::future::pending().await,
            }
        })
    }
}

/// An app with a worker.
struct App {
    manager: UnifiedModelDownloadManager,
    stop: CancellationToken,
    work: JoinSet<()>,
}

impl App {
    async fn open(folder: &tempfile::TempDir) -> Self {
        let mut options = ManagerOptions::new(
            folder.path().join("modelhaul.db"),
            folder.path().join("hub"),
            "http://127.0.0.1:9".parse().unwrap(),
        );
        options.backoff = Duration::from_millis(100);
        options.max_retries = 2;
        let clock = Arc::new(SystemClock::new());
        let manager = UnifiedModelDownloadManager::open(options, clock).await;
        let manager = manager.unwrap();
        let stop = CancellationToken::new();
        let mut work = JoinSet::new();
        let (worker, token) = (manager.clone(), stop.clone());
        work.spawn(async move { worker.run(WorkScope::All, token).await.unwrap() });
        Self {
            manager,
            stop,
            work,
        }
    }

    async fn register(&self, id: &str, handler: &Arc<Handler>) {
        let function: Arc<dyn DownloadHandler> = Arc::<Handler>::clone(handler);
        let registered = self
            .manager
            .register_generic_model(id.parse().unwrap(), function, None, None)
            .await;
        registered.unwrap();
    }

    async fn start(&self, id: &str) {
        let started = self.manager.start_download(&id.parse().unwrap()).await;
        assert!(started.unwrap().created);
    }

    async fn wait(&self, id: &str, state: &str) -> ModelStatus {
        let id = id.parse().unwrap();
        let reached = async {
            loop {
                let status = self.manager.get_download_status(&id).await.unwrap();
                if status.state == state {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(LIMIT, reached).await;
        waited.unwrap_or_else(|_| panic!("{id} was never {state}"))
    }

    /// Ends the worker in order, and checks that this takes less than the promised five seconds.
    async fn close(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(5), self.work.join_next()).await;
        ended.unwrap().unwrap().unwrap();
        self.manager.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_downloads_and_its_model_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::open(&folder).await;
    let handler = Handler::new(Does::Succeed);
    app.register("own", &handler).await;
    app.start("own").await;
    app.wait("own", "completed").await;
    assert_eq!(handler.calls(), 1);
    app.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_for_a_function_that_the_app_has_not_registered_since_its_restart() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::open(&folder).await;
    let handler = Handler::new(Does::Obey);
    app.register("own", &handler).await;
    app.start("own").await;
    app.wait("own", "running").await;
    app.close().await;

    let app = App::open(&folder).await;
    let waiting = app.wait("own", "waiting").await;
    let reason = waiting.waiting.unwrap().reason;
    assert_eq!(reason.as_str(), "handler_missing");
    assert_eq!(waiting.error.unwrap().code.as_str(), "handler_missing");
    let handler = Handler::new(Does::Succeed);
    app.register("own", &handler).await;
    app.wait("own", "completed").await;
    assert_eq!(handler.calls(), 1);
    app.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_the_function_and_one_that_ignores_it_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::open(&folder).await;
    for does in [Does::Obey, Does::Ignore] {
        let id = format!("{does:?}");
        let handler = Handler::new(does);
        app.register(&id, &handler).await;
        app.start(&id).await;
        app.wait(&id, "running").await;
        let called = async {
            while handler.calls() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, called).await.unwrap();
        app.manager
            .cancel_download(&id.parse().unwrap())
            .await
            .unwrap();
        app.wait(&id, "cancelled").await;
        let obeyed = u32::from(matches!(does, Does::Obey));
        assert_eq!(handler.stopped.load(Ordering::SeqCst), obeyed);
    }
    app.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_panics_or_fails_ends_only_its_own_job() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::open(&folder).await;
    let panics = Handler::new(Does::Panic);
    let refuses = Handler::new(Does::Refuse { retryable: false });
    let tries = Handler::new(Does::Refuse { retryable: true });
    let works = Handler::new(Does::Succeed);
    let all = [
        ("panics", &panics),
        ("refuses", &refuses),
        ("tries", &tries),
        ("works", &works),
    ];
    for (id, handler) in all {
        app.register(id, handler).await;
        app.start(id).await;
    }
    let failed = app.wait("panics", "failed").await.error.unwrap();
    assert_eq!(failed.code.as_str(), "internal");
    let failed = app.wait("refuses", "failed").await.error.unwrap();
    assert_eq!(failed.code.as_str(), "handler_failed");
    assert!(failed.message.contains("the mirror is closed"));
    app.wait("tries", "failed").await;
    app.wait("works", "completed").await;
    let calls = [&panics, &refuses, &tries, &works].map(|handler| handler.calls());
    assert_eq!(calls, [1, 1, 2, 1]);
    app.close().await;
}
