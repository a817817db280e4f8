//! What a download would do, without doing it: the commit, the choice, what is here, what is left to fetch.
//!
//! Invariant: nothing is written, and the hub is asked one question about the revision and once for each page of the
//! listing. The choice is made by `plan`, as for a download; room and parts are looked at here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::context::Context;
use super::fetch::blocking;
use super::plan::{Outline, Wanted};
use super::run::store_failure;
use crate::cache::{Cache, CacheError, Space};
use crate::catalog::{Selected, Warning};
use crate::domain::{
    CommitHash, Digest, Failure, FailureCode, Gating, ModelId, PlanDisk, PlanEntry, PlanReport,
    PlanState, PlanTotals, PlanWarning, PlannedFile, RemoteFile, RepoId,
};
use crate::hub::RepoInfo;
use crate::store::PartRow;

/// Bytes of unfinished blobs: what is synced, and what the part takes on disk.
type Parts = HashMap<Digest, (u64, u64)>;

/// What the cache has of the chosen files.
struct Here {
    whole: HashSet<Digest>,
    parts: Parts,
    space: Space,
}

impl Context {
    /// Tells what a download would do now. The key of a registration brings in what its earlier jobs received.
    pub(crate) async fn dry_run(
        &self,
        wanted: &Wanted,
        registered: Option<(i64, ModelId)>,
    ) -> Result<PlanReport, Failure> {
        // A template that does not exist is known without the hub.
        self.plan_key(wanted)?;
        if self.options.offline {
            return Err(Failure::new(
                FailureCode::Offline,
                format!(
                    "the files of `{}` are listed by the hub, and HF_HUB_OFFLINE is set",
                    wanted.repo_id
                ),
            )
            .with_remedy("unset HF_HUB_OFFLINE; `modelhaul status` tells what is here"));
        }
        let info = self
            .hub
            .repo_info(&wanted.repo_id, &wanted.revision)
            .await
            .map_err(|error| error.failure())?;
        let outline = self.outline(wanted, &info.commit).await?;
        let (model_key, model_id) = registered.unzip();
        let parts = match model_key {
            Some(key) => self
                .store
                .parts_of(key)
                .await
                .map_err(|error| store_failure(&error))?,
            None => Vec::new(),
        };
        let token = self.hub.has_token().await;
        let (cache, wanted) = (Arc::clone(&self.cache), wanted.clone());
        let floor = self.options.disk_floor;
        let told = blocking(move || {
            let here = look(
                &cache,
                &wanted.repo_id,
                &info.commit,
                &outline.files(),
                parts,
            )?;
            let mut report = report(&wanted, info, outline, &here, floor);
            report.path = cache.snapshot_dir(&wanted.repo_id, &report.commit);
            report.model_id = model_id;
            report.gating.token = token;
            Ok(report)
        });
        told.await?.map_err(|error: CacheError| error.failure())
    }
}

fn look(
    cache: &Cache,
    repo: &RepoId,
    commit: &CommitHash,
    files: &[PlannedFile],
    parts: Vec<PartRow>,
) -> Result<Here, CacheError> {
    let whole = files
        .iter()
        .filter(|file| cache.find_file(repo, commit, file))
        .map(|file| file.digest.clone())
        .collect();
    // A row promises nothing when its part is gone.
    let on_disk: HashMap<String, (Digest, u64)> = cache
        .list_parts(repo)?
        .into_iter()
        .map(|(name, bytes)| (name.to_string(), (name.digest().clone(), bytes)))
        .collect();
    let parts = parts
        .into_iter()
        .filter_map(|row| {
            let (digest, allocated) = on_disk.get(&row.part_name)?;
            Some((digest.clone(), (row.bytes_done, *allocated)))
        })
        .collect();
    Ok(Here {
        whole,
        parts,
        space: cache.space()?,
    })
}

fn report(
    wanted: &Wanted,
    info: RepoInfo,
    outline: Outline,
    here: &Here,
    floor: u64,
) -> PlanReport {
    let Outline { tree, selected } = outline;
    let mut totals = PlanTotals {
        files: selected.files.len() as u64,
        bytes: 0,
        files_here: 0,
        bytes_here: 0,
        bytes_to_fetch: 0,
        files_skipped: selected.skipped.len() as u64,
    };
    let mut needed: u64 = 0;
    let mut counted = HashSet::new();
    let mut files = Vec::with_capacity(tree.len());
    let gated = gate(&wanted.repo_id, &info);
    let warnings = gated
        .into_iter()
        .chain(selected.warnings.iter().map(warning))
        .collect();
    let notes = selected.notes[selected.warnings.len().min(selected.notes.len())..].to_vec();
    for choice in &selected.files {
        let file = &tree[choice.index];
        let (state, bytes_here, allocated) = standing(file, here);
        totals.files_here += u64::from(state == PlanState::Present);
        if counted.insert(&file.digest) {
            totals.bytes = totals.bytes.saturating_add(file.size);
            totals.bytes_here = totals.bytes_here.saturating_add(bytes_here);
            if state != PlanState::Present {
                needed = needed.saturating_add(file.size.saturating_sub(allocated));
            }
        }
        files.push(entry(file, state, bytes_here, choice.reason.to_string()));
    }
    totals.bytes_to_fetch = totals.bytes.saturating_sub(totals.bytes_here);
    for choice in &selected.skipped {
        let reason = choice.reason.to_string();
        files.push(entry(&tree[choice.index], PlanState::Skipped, 0, reason));
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let free = here.space.bytes;
    let Selected {
        template, variant, ..
    } = selected;
    PlanReport {
        model_id: None,
        kind: wanted.kind,
        repo_id: Some(wanted.repo_id.clone()),
        revision: Some(wanted.revision.clone()),
        commit: info.commit,
        template,
        variant,
        gating: Gating {
            gated: info.gated,
            private: info.private,
            token: false,
        },
        totals,
        disk: PlanDisk {
            free,
            needed,
            free_after: free.saturating_sub(needed),
            floor,
            fits: needed.saturating_add(floor) <= free,
        },
        warnings,
        notes,
        path: std::path::PathBuf::new(),
        files,
    }
}

/// How much of a file is here, and what its part takes on disk.
fn standing(file: &RemoteFile, here: &Here) -> (PlanState, u64, u64) {
    if here.whole.contains(&file.digest) {
        return (PlanState::Present, file.size, 0);
    }
    match here.parts.get(&file.digest) {
        Some((synced, allocated)) if *synced > 0 => {
            (PlanState::Partial, (*synced).min(file.size), *allocated)
        }
        Some((_, allocated)) => (PlanState::Missing, 0, *allocated),
        None => (PlanState::Missing, 0, 0),
    }
}

fn entry(file: &RemoteFile, state: PlanState, bytes_here: u64, reason: String) -> PlanEntry {
    PlanEntry {
        path: file.path.clone(),
        size: file.size,
        digest: Some(file.digest.clone()),
        state,
        bytes_here,
        reason,
    }
}

fn warning(warning: &Warning) -> PlanWarning {
    let code = match warning {
        Warning::CustomCode { .. } => "custom_code",
        Warning::Pickle { .. } => "pickle",
        Warning::UnusualSize { .. } => "unusual_size",
    };
    PlanWarning {
        code: code.to_owned(),
        message: warning.to_string(),
    }
}

fn gate(repo: &RepoId, info: &RepoInfo) -> Option<PlanWarning> {
    info.gated.then(|| PlanWarning {
        code: "gated".to_owned(),
        message: format!(
            "the conditions of `{repo}` must be accepted on its page, by the account whose token is used"
        ),
    })
}
