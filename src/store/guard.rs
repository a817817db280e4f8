//! Turns a panic of the database driver's thread into the end of the process.
//!
//! A connection whose thread is gone never answers again, so its callers would hang for ever; a new process goes on
//! where the last commit stood.

use std::panic;

/// Ends the process when a thread of the database driver panics. Call it once, first thing in `main`.
pub(crate) fn abort_on_worker_panic() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        before(info);
        if is_driver_thread(std::thread::current().name()) {
            tracing::error!(
                "the database driver failed; the process ends so that a new one can go on"
            );
            std::process::abort();
        }
    }));
}

fn is_driver_thread(name: Option<&str>) -> bool {
    name.is_some_and(|name| name.starts_with("sqlx-sqlite-worker"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_driver_names_its_threads_as_expected() {
        use sqlx::ConnectOptions as _;

        let seen = std::sync::Arc::new(std::sync::Mutex::new(None));
        let connection = sqlx::sqlite::SqliteConnectOptions::new()
            .in_memory(true)
            .connect()
            .await
            .unwrap();
        for task in std::fs::read_dir("/proc/self/task")
            .into_iter()
            .flatten()
            .flatten()
        {
            // The kernel keeps the first 15 characters of a thread's name.
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            if name.starts_with("sqlx-sqlite-wor") {
                *seen.lock().unwrap() = Some(name);
            }
        }
        drop(connection);
        assert!(seen.lock().unwrap().is_some() || !cfg!(target_os = "linux"));
        assert!(is_driver_thread(Some("sqlx-sqlite-worker-3")));
        assert!(!is_driver_thread(Some("tokio-runtime-worker")));
        assert!(!is_driver_thread(None));
    }
}
