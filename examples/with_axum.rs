//! An app with its own HTTP server and the routes of modelhaul in it: `with_axum FOLDER HUB PORT FILE_URL`. A model of its own,
//! from any address of the web, is brought by a function:
//!
//!     curl localhost:PORT/hello
//!     curl -X POST localhost:PORT/api/model-download/words/start
//!     curl localhost:PORT/api/v1/models/words
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it says where it listens, and its own file gets its name by a rename"
)]

use std::error::Error;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use modelhaul::server::{Mounted, ServerOptions};
use modelhaul::{
    DownloadHandler, HandlerContext, HandlerError, ManagerOptions, SystemClock,
    UnifiedModelDownloadManager, WorkScope,
};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Fetches one file, and goes on where it was.
#[derive(Debug)]
struct OneFile {
    url: String,
    to: PathBuf,
}

impl DownloadHandler for OneFile {
    fn download(
        &self,
        context: HandlerContext,
    ) -> Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send + '_>> {
        Box::pin(async move {
            let part = self.to.with_extension("part");
            let have = tokio::fs::metadata(&part)
                .await
                .map_or(0, |facts| facts.len());
            let mut body = context.http.get(&self.url, have).await?;
            let mut file = tokio::fs::OpenOptions::new()
                .create(true)
                .append(body.start() > 0)
                .write(true)
                .truncate(body.start() == 0)
                .open(&part)
                .await
                .map_err(|error| failed(&error))?;
            let mut done = body.start();
            context.progress.current_file(Some("words.txt"));
            while let Some(chunk) = tokio::select! {
                chunk = body.chunk() => chunk?,
                () = context.cancelled.cancelled() => return Ok(()),
            } {
                file.write_all(&chunk)
                    .await
                    .map_err(|error| failed(&error))?;
                done += chunk.len() as u64;
                context.progress.bytes(done);
            }
            file.sync_all().await.map_err(|error| failed(&error))?;
            tokio::fs::rename(&part, &self.to)
                .await
                .map_err(|error| failed(&error))
        })
    }
}

fn failed(error: &std::io::Error) -> HandlerError {
    HandlerError {
        message: error.to_string(),
        retryable: true,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("FOLDER HUB PORT FILE_URL");
    let (folder, hub, port, url) = (PathBuf::from(next()?), next()?, next()?, next()?);
    let mut options = ManagerOptions::new(folder.join("app.db"), folder.join("hub"), hub.parse()?);
    // The guard lets nothing into inner networks; this one is for trying it out on one machine.
    options.artifact_networks = vec!["127.0.0.0/8".parse()?];
    let manager = UnifiedModelDownloadManager::open(options, Arc::new(SystemClock::new())).await?;
    let to = folder.join("words.txt");
    let handler = Arc::new(OneFile {
        url,
        to: to.clone(),
    });
    manager
        .register_generic_model("words".parse()?, handler, None, Some(to))
        .await?;

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    let routes = Mounted::new(
        ServerOptions {
            listen: listener.local_addr()?,
            admin_token: None,
            allowed_hosts: Vec::new(),
            trust_proxy: false,
            settings: Vec::new(),
        },
        manager.clone(),
    )?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = Router::new()
        .route("/hello", get(async || "hello from the app\n"))
        .fallback_service(routes.router());

    let stop = CancellationToken::new();
    let (worker, stopping) = (manager.clone(), stop.clone());
    let mut work = JoinSet::new();
    work.spawn(async move { worker.run(WorkScope::All, stopping).await });
    let end = async move {
        // Without Ctrl-C the app runs until it is killed, which loses nothing.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        routes.drain();
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(end)
        .await?;
    stop.cancel();
    while let Some(ended) = work.join_next().await {
        ended??;
    }
    manager.close().await;
    Ok(())
}
