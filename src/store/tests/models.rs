//! Registrations.

use std::path::PathBuf;

use super::{Bench, at, commit, id, ready, spec};
use crate::domain::{Kind, NewModel, Origin};
use crate::store::{Removal, Replacement, StoreError};

#[tokio::test]
async fn a_registration_reads_back_as_it_was_given() {
    let bench = Bench::new().await;
    let handler = NewModel {
        kind: Kind::Generic,
        origin: Origin::Handler {
            model_path: Some(PathBuf::from("/m/x")),
        },
        ..spec("own")
    };
    for given in [spec("org/wd"), handler] {
        let (model, created) = bench.store.add_model(&given, at(1)).await.unwrap();
        assert!(created);
        assert_eq!(
            (&model.spec, model.created_at, &model.readiness),
            (&given, at(1), &None)
        );
        assert_eq!(
            bench.store.model(&given.model_id).await.unwrap().as_ref(),
            Some(&model)
        );
        assert_eq!(
            bench.store.model_by_key(model.key).await.unwrap(),
            Some(model)
        );
    }
    assert_eq!(bench.store.model(&id("no")).await.unwrap(), None);
}

#[tokio::test]
async fn adding_again_answers_what_is_there() {
    let bench = Bench::new().await;
    let first = bench.model("a").await;
    let other = NewModel {
        kind: Kind::Detection,
        ..spec("a")
    };
    let (model, created) = bench.store.add_model(&other, at(5)).await.unwrap();
    assert!(!created);
    assert_eq!(model, first);
}

#[tokio::test]
async fn a_number_that_does_not_fit_is_refused() {
    let bench = Bench::new().await;
    let huge = NewModel {
        total_size_estimate: Some(u64::MAX),
        ..spec("a")
    };
    let refused = bench.store.add_model(&huge, at(0)).await.unwrap_err();
    assert!(
        matches!(
            refused,
            StoreError::TooLarge {
                given: u64::MAX,
                ..
            }
        ),
        "{refused}"
    );
}

#[tokio::test]
async fn models_are_listed_by_id_and_page_on() {
    let bench = Bench::new().await;
    for name in ["c", "a", "b"] {
        bench.model(name).await;
    }
    let page = bench.store.models(None, 2).await.unwrap();
    assert_eq!(
        page.iter().map(|m| m.id().as_str()).collect::<Vec<_>>(),
        ["a", "b"]
    );
    let rest = bench.store.models(Some(page[1].id()), 2).await.unwrap();
    assert_eq!(
        rest.iter().map(|m| m.id().as_str()).collect::<Vec<_>>(),
        ["c"]
    );
}

#[tokio::test]
async fn readiness_survives_only_a_replacement_that_means_the_same_files() {
    let bench = Bench::new().await;
    let model = bench.model("a").await;
    let whole = ready(commit('1'), 7, 2);
    assert!(
        bench
            .store
            .set_readiness(model.key, Some(&whole), at(2))
            .await
            .unwrap()
    );
    assert!(
        !bench
            .store
            .set_readiness(999, Some(&whole), at(2))
            .await
            .unwrap()
    );

    let described = NewModel {
        description: None,
        ..spec("a")
    };
    let Replacement::Replaced(same) = bench.store.replace_model(&described, at(3)).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(
        (same.key, same.readiness.as_ref()),
        (model.key, Some(&whole))
    );

    let other = NewModel {
        kind: Kind::Generic,
        ..spec("a")
    };
    let Replacement::Replaced(changed) = bench.store.replace_model(&other, at(4)).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(
        (changed.key, changed.readiness, changed.spec),
        (model.key, None, other)
    );
    assert_eq!(
        bench.store.replace_model(&spec("no"), at(4)).await.unwrap(),
        Replacement::Absent
    );
}

#[tokio::test]
async fn an_active_job_protects_its_registration() {
    let bench = Bench::new().await;
    let job = bench.job("a").await;
    let other = NewModel {
        kind: Kind::Generic,
        ..spec("a")
    };
    let described = NewModel {
        description: None,
        ..spec("a")
    };
    assert_eq!(
        bench.store.replace_model(&other, at(1)).await.unwrap(),
        Replacement::Busy
    );
    assert!(matches!(
        bench.store.replace_model(&described, at(1)).await.unwrap(),
        Replacement::Replaced(_)
    ));
    assert_eq!(
        bench.store.remove_model(&id("a")).await.unwrap(),
        Removal::Busy
    );
    assert!(bench.store.model(&id("a")).await.unwrap().is_some());

    bench.store.request_cancel(job.key, at(2)).await.unwrap();
    assert_eq!(
        bench.store.remove_model(&id("a")).await.unwrap(),
        Removal::Removed
    );
    assert_eq!(
        bench.store.remove_model(&id("a")).await.unwrap(),
        Removal::Absent
    );
    assert_eq!(bench.store.job(job.id).await.unwrap(), None);
    let kinds: Vec<String> = bench
        .store
        .events(0, 100)
        .await
        .unwrap()
        .into_iter()
        .map(|e| e.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            "model_added",
            "enqueued",
            "cancel_requested",
            "state",
            "model_removed"
        ]
    );
}
