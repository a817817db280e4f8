//! What a download of files by their addresses would do: each server is asked for one byte, and nothing is written.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::context::Context;
use super::fetch::blocking;
use super::run::store_failure;
use super::supply::Place;
use super::url_supply::{AT_A_TIME, digest_of, length};
use crate::cache::CacheError;
use crate::domain::{
    Digest, Failure, FailureCode, FileRow, FileState, Gating, ModelId, NewModel, PlanDisk,
    PlanEntry, PlanReport, PlanState, PlanTotals, PlanWarning, RepoPath, UrlFile, version_of,
};

/// What was learned of one file.
struct Looked {
    path: RepoPath,
    size: u64,
    /// None when nothing tells one version from another.
    digest: Option<Digest>,
    ranges: bool,
    address: String,
}

impl Context {
    /// Tells what a download would do now. The key of a registration brings in what its earlier jobs received.
    pub(crate) async fn dry_run_urls(
        &self,
        model: &NewModel,
        files: &[UrlFile],
        registered: Option<(i64, ModelId)>,
    ) -> Result<PlanReport, Failure> {
        if self.options.offline {
            let message = format!(
                "the files of `{}` are elsewhere, and HF_HUB_OFFLINE is set",
                model.model_id
            );
            return Err(Failure::new(FailureCode::Offline, message)
                .with_remedy("unset HF_HUB_OFFLINE; `modelhaul status` tells what is here"));
        }
        let Some(place) = self.place(model) else {
            return Err(Failure::new(
                FailureCode::Internal,
                "the model has no place",
            ));
        };
        let asked: Vec<_> = files.iter().map(|file| self.look_at_url(file)).collect();
        let looked: Vec<Looked> = futures_util::stream::iter(asked)
            .buffered(AT_A_TIME)
            .try_collect()
            .await?;
        let version = version_of(files);
        let (key, model_id) = registered.unzip();
        let rows = match key {
            Some(key) => self.store.files_of(key, &version).await,
            None => Ok(Vec::new()),
        };
        let rows = rows.map_err(|error| store_failure(&error))?;
        let floor = self.options.disk_floor;
        let mut report = PlanReport {
            model_id,
            kind: model.kind,
            repo_id: None,
            revision: None,
            path: place.cache.snapshot_dir(&place.repo_id, &version),
            commit: version,
            template: "everything".to_owned(),
            variant: None,
            gating: Gating {
                gated: false,
                private: false,
                token: files.iter().any(|file| file.credential.is_some()),
            },
            totals: PlanTotals {
                files: files.len() as u64,
                bytes: 0,
                files_here: 0,
                bytes_here: 0,
                bytes_to_fetch: 0,
                files_skipped: 0,
            },
            disk: PlanDisk {
                free: 0,
                needed: 0,
                free_after: 0,
                floor,
                fits: true,
            },
            warnings: warnings(&looked),
            notes: Vec::new(),
            files: Vec::new(),
        };
        blocking(move || {
            count(&mut report, looked, rows, &place)?;
            Ok(report)
        })
        .await?
        .map_err(|error: CacheError| error.failure())
    }

    async fn look_at_url(&self, file: &UrlFile) -> Result<Looked, Failure> {
        let seen = self.web.look(file).await;
        let seen = seen.map_err(|error| error.failure(&file.path))?;
        let size = length(file, &seen)?;
        let digest = digest_of(file, size, &seen.validator);
        Ok(Looked {
            path: file.path.clone(),
            size,
            digest,
            ranges: seen.ranges,
            address: file.url.to_string(),
        })
    }
}

/// Fills in what is here and what there is room for. Blocks.
fn count(
    report: &mut PlanReport,
    looked: Vec<Looked>,
    rows: Vec<FileRow>,
    place: &Place,
) -> Result<(), CacheError> {
    let (cache, repo) = (Arc::clone(&place.cache), &place.repo_id);
    let parts: HashMap<String, u64> = cache
        .list_parts(repo)?
        .into_iter()
        .map(|(name, bytes)| (name.to_string(), bytes))
        .collect();
    let rows: HashMap<RepoPath, FileRow> = rows
        .into_iter()
        .map(|row| (row.file.path.clone(), row))
        .collect();
    let mut needed: u64 = 0;
    for file in looked {
        let row = rows
            .get(&file.path)
            .filter(|row| row.file.size == file.size);
        // A whole file without a hash or a version stays; a part of one is of no use.
        let digest = file.digest.clone().or_else(|| {
            row.filter(|row| row.state == FileState::Done)
                .map(|row| row.file.digest.clone())
        });
        let whole = digest
            .as_ref()
            .is_some_and(|digest| cache.find_blob(repo, digest, file.size));
        let part = row
            .filter(|row| Some(&row.file.digest) == digest.as_ref())
            .and_then(|row| Some((row.ranges.len(), *parts.get(row.part_name.as_ref()?)?)));
        let (state, here, allocated) = match part {
            _ if whole => (PlanState::Present, file.size, 0),
            Some((synced, allocated)) if synced > 0 => {
                (PlanState::Partial, synced.min(file.size), allocated)
            }
            _ => (PlanState::Missing, 0, 0),
        };
        let totals = &mut report.totals;
        totals.files_here += u64::from(whole);
        totals.bytes = totals.bytes.saturating_add(file.size);
        totals.bytes_here = totals.bytes_here.saturating_add(here);
        if !whole {
            needed = needed.saturating_add(file.size.saturating_sub(allocated));
        }
        report.files.push(PlanEntry {
            path: file.path,
            size: file.size,
            digest: file.digest.filter(Digest::is_hash),
            state,
            bytes_here: here,
            reason: format!("from {}", file.address),
        });
    }
    report.files.sort_by(|one, other| one.path.cmp(&other.path));
    report.totals.bytes_to_fetch = report.totals.bytes - report.totals.bytes_here;
    let free = cache.space()?.bytes;
    report.disk = PlanDisk {
        free,
        needed,
        free_after: free.saturating_sub(needed),
        fits: needed.saturating_add(report.disk.floor) <= free,
        ..report.disk
    };
    Ok(())
}

fn warnings(files: &[Looked]) -> Vec<PlanWarning> {
    let is_hash = |file: &&Looked| file.digest.as_ref().is_some_and(Digest::is_hash);
    let unproven = files.iter().filter(|file| !is_hash(file)).count();
    let (whole, unbound) = files.iter().fold((0, 0), |(whole, unbound), file| {
        let lost = usize::from(file.digest.is_none());
        (
            whole + usize::from(!file.ranges && lost == 0 && file.size > 0),
            unbound + lost,
        )
    });
    let told = [
        (
            "unverified",
            unproven,
            "no sha256 is known of {} files: they are never verified",
        ),
        (
            "one_stream",
            whole,
            "{} files come as one stream: their servers know no ranges",
        ),
        (
            "no_resume",
            unbound,
            "{} files begin anew when they are interrupted: their servers name no version of them",
        ),
    ];
    let told = told.into_iter().filter(|(_, count, _)| *count > 0);
    told.map(|(code, count, sentence)| PlanWarning {
        code: code.to_owned(),
        message: sentence.replace("{}", &count.to_string()),
    })
    .collect()
}
