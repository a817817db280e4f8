//! An app that brings its own download queue: `embed FOLDER HUB REPOSITORY`, for example
//! `cargo run --example embed -- /tmp/app https://huggingface.co fancyfeast/llama-joycaption-beta-one-hf-llava`.
//! Kill it and start it again: it goes on where it was.
#![expect(clippy::print_stdout, reason = "it tells people how far it is")]

use std::path::PathBuf;
use std::sync::Arc;

use modelhaul::{
    ManagerOptions, ModelId, RegisterOptions, SystemClock, UnifiedModelDownloadManager, WorkScope,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [folder, hub, repository] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_wrong_count| "FOLDER HUB REPOSITORY")?;
    let folder = PathBuf::from(folder);
    let options = ManagerOptions::new(folder.join("app.db"), folder.join("hub"), hub.parse()?);
    let manager = UnifiedModelDownloadManager::open(options, Arc::new(SystemClock::new())).await?;
    let id: ModelId = "captioner".parse()?;
    manager
        .register_caption_generator(id.clone(), repository.parse()?, RegisterOptions::default())
        .await?;
    manager.start_download(&id).await?;

    let stop = CancellationToken::new();
    let (worker, stopping) = (manager.clone(), stop.clone());
    let mut work = JoinSet::new();
    work.spawn(async move { worker.run(WorkScope::All, stopping).await });
    loop {
        let status = manager
            .wait(&id, std::time::Duration::from_millis(500))
            .await?;
        let progress = &status.progress;
        println!(
            "{}: {} of {:?} bytes",
            status.state, progress.bytes_downloaded, progress.bytes_total
        );
        if matches!(status.state.as_str(), "completed" | "failed") {
            break;
        }
    }
    stop.cancel();
    while let Some(ended) = work.join_next().await {
        ended??;
    }
    manager.close().await;
    Ok(())
}
