//! How far a job is, as people see it: the row, the live numbers of the job that runs here, and what follows from them.
//!
//! Bytes only go up within an attempt: of row and memory the larger number counts. Pure; what is read is given.

use crate::domain::{Job, JobId, JobState, Model, Phase, ProgressStatus};
use crate::queue::{Numbers, Presence};
use crate::store::Estimates;

/// How far a job is: its row, and the live numbers when it runs here.
pub(super) fn progress(
    job: &Job,
    live: Option<&(JobId, Numbers)>,
    estimates: Option<&Estimates>,
) -> ProgressStatus {
    let mut shown = ProgressStatus {
        current_file: job.current_file.clone(),
        files_downloaded: job.files_done,
        files_total: job.files_total,
        bytes_downloaded: job.bytes_done,
        bytes_total: job.bytes_total,
        bytes_reused: job.bytes_reused,
        percent: None,
        speed_bytes_per_second: job.rate,
        eta_seconds: None,
        last_byte_at: job.last_byte_at,
        estimated: false,
    };
    let running = job.state == JobState::Running;
    if running && let Some(numbers) = numbers_of(job, live) {
        shown.current_file = numbers.current_file.clone().or(shown.current_file);
        shown.files_downloaded = numbers.files_done.max(shown.files_downloaded);
        shown.bytes_downloaded = numbers.bytes_done.max(shown.bytes_downloaded);
        shown.bytes_reused = numbers.bytes_reused;
        shown.speed_bytes_per_second = numbers.rate;
        shown.last_byte_at = numbers.last_byte_at.or(shown.last_byte_at);
    }
    if !running {
        shown.current_file = None;
        shown.speed_bytes_per_second = 0;
    }
    if let (None, Some(estimates)) = (shown.bytes_total, estimates) {
        estimate(&mut shown, estimates);
    }
    finish(&mut shown);
    shown
}

fn numbers_of<'l>(job: &Job, live: Option<&'l (JobId, Numbers)>) -> Option<&'l Numbers> {
    live.filter(|(id, _)| *id == job.id)
        .map(|(_, numbers)| numbers)
}

/// What a running job does.
pub(super) fn phase(job: &Job, live: Option<&(JobId, Numbers)>) -> Option<Phase> {
    numbers_of(job, live)
        .and_then(|numbers| numbers.phase)
        .or(job.phase)
        .filter(|_| job.state == JobState::Running)
}

/// Progress of a model for which nothing is under way: all or nothing.
pub(super) fn resting_progress(model: &Model, presence: &Presence) -> ProgressStatus {
    let mut shown = ProgressStatus::default();
    if presence.complete {
        shown.files_downloaded = presence.files;
        shown.files_total = Some(presence.files);
        shown.bytes_downloaded = presence.bytes;
        shown.bytes_total = Some(presence.bytes);
    } else {
        estimate(&mut shown, &Estimates::of(model));
    }
    finish(&mut shown);
    shown
}

fn estimate(shown: &mut ProgressStatus, estimates: &Estimates) {
    shown.bytes_total = estimates.bytes;
    shown.files_total = estimates.files;
    shown.estimated = shown.bytes_total.is_some() || shown.files_total.is_some();
}

/// Fills in what follows from the counts.
fn finish(shown: &mut ProgressStatus) {
    let Some(total) = shown.bytes_total else {
        return;
    };
    let here = shown.bytes_downloaded.min(total);
    let tenths = here.saturating_mul(1000).checked_div(total).unwrap_or(1000);
    // A guess that is reached does not say that it is done.
    let tenths = if shown.estimated {
        tenths.min(999)
    } else {
        tenths
    };
    shown.percent = u32::try_from(tenths)
        .ok()
        .map(|tenths| f64::from(tenths) / 10.0);
    let rest = total.saturating_sub(shown.bytes_downloaded);
    shown.eta_seconds = rest.checked_div(shown.speed_bytes_per_second);
}
