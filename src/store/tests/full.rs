//! A transaction that SQLite ended by itself, as it does when the disk is full.

use super::{Bench, at, id, spec};

#[tokio::test]
async fn a_connection_whose_transaction_vanished_is_exchanged() {
    let bench = Bench::new().await;
    let mut tx = bench.store.writer().pool().begin().await.unwrap();
    sqlx::query("UPDATE settings SET probe = 7")
        .execute(&mut *tx)
        .await
        .unwrap();
    // Behind the back of sqlx, whose own rollback then fails.
    sqlx::query("ROLLBACK").execute(&mut *tx).await.unwrap();
    drop(tx);
    let (_, created) = bench.store.add_model(&spec("a/b"), at(0)).await.unwrap();
    assert!(created);
    assert!(bench.store.model(&id("a/b")).await.unwrap().is_some());
    bench.store.can_commit().await.unwrap();
}
