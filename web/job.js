// One shape for a job, whichever of the three answers it came from.

/** @typedef {{id: string, modelId: string, kind: string, state: string, phase: string|null, waiting: any, position: number|null,
 *   attempt: number, progress: any, enqueuedAt: string|null, startedAt: string|null, updatedAt: string|null,
 *   finishedAt: string|null, error: any, path: string|null, cancelling: boolean, cleared: boolean}} Job */

export const STATES = ['running', 'queued', 'waiting', 'paused', 'failed', 'completed', 'cancelled', 'not_started'];
export const isActive = (job) => ['running', 'queued', 'waiting', 'paused'].includes(job.state);

/** From a status object: the stream. @returns {Job} */
export function fromStatus(status) {
  return {
    id: status.job_id,
    modelId: status.model_id,
    kind: status.job_kind ?? 'download',
    state: status.state,
    phase: status.phase,
    waiting: status.waiting,
    position: status.queue_position,
    attempt: status.attempt,
    progress: status.progress,
    enqueuedAt: status.timestamps?.enqueued_at ?? null,
    startedAt: status.timestamps?.started_at ?? null,
    updatedAt: status.timestamps?.updated_at ?? null,
    finishedAt: status.timestamps?.finished_at ?? null,
    error: status.error,
    path: status.cache?.path ?? null,
    cancelling: false,
    cleared: false,
  };
}

/** From a job: lists and the job's page. @returns {Job} */
export function fromBody(body) {
  const waits = body.state === 'queued' && body.waiting !== null;
  const total = body.bytes_total;
  const left = total === null ? null : Math.max(0, total - body.bytes_downloaded);
  const speed = body.state === 'running' ? body.speed_bytes_per_second : 0;
  return {
    id: body.id,
    modelId: body.model_id,
    kind: body.kind,
    state: body.state === 'queued' && body.paused ? 'paused' : waits ? 'waiting' : body.state,
    phase: body.phase,
    waiting: waits ? body.waiting : null,
    position: null,
    attempt: body.attempt,
    progress: {
      current_file: body.current_file,
      files_downloaded: body.files_downloaded,
      files_total: body.files_total,
      bytes_downloaded: body.bytes_downloaded,
      bytes_total: total,
      bytes_reused: body.bytes_reused,
      percent: total ? Math.min(100, (100 * body.bytes_downloaded) / total) : null,
      speed_bytes_per_second: speed,
      eta_seconds: speed > 0 && left !== null ? Math.ceil(left / speed) : null,
      last_byte_at: body.last_byte_at,
    },
    enqueuedAt: body.enqueued_at,
    startedAt: body.started_at,
    updatedAt: body.updated_at,
    finishedAt: body.finished_at,
    error: body.error,
    path: null,
    cancelling: body.cancel_requested && !body.finished_at,
    cleared: body.cleared,
  };
}

/** What the queue's own entry knows better than the row. @param {Job|undefined} job @returns {Job} */
export function withEntry(job, entry) {
  const base = job ?? { startedAt: null, updatedAt: null, finishedAt: null, error: null, path: null, cancelling: false, cleared: false };
  return {
    ...base,
    id: entry.job_id,
    modelId: entry.model_id,
    kind: entry.kind,
    state: entry.state,
    phase: entry.phase,
    waiting: entry.waiting,
    position: entry.queue_position,
    attempt: entry.attempt,
    progress: entry.progress,
    enqueuedAt: entry.enqueued_at,
  };
}

/** What the stream tells: the newest job of each model, unless it was cleared. @param {Job[]} jobs newest first */
export function newest(jobs) {
  const seen = new Set();
  return jobs.filter((job) => !seen.has(job.modelId) && seen.add(job.modelId) && !job.cleared);
}

const REASONS = {
  retry_backoff: 'The last attempt failed; the next one comes after a pause',
  rate_limited: 'The hub asked for fewer requests',
  hub_unreachable: 'The hub does not answer',
  disk_full: 'Waits for room on the disk',
  cache_locked: 'Another program is downloading into the same place',
  auth_required: 'The hub wants a token, or its licence accepted',
  handler_missing: 'The app has not registered its download function',
  downloads_disabled: 'Downloads are disabled (DISABLE_MODEL_DOWNLOADS)',
};

export const reason = (word) => REASONS[word] ?? String(word ?? '').replaceAll('_', ' ');

const PHASES = {
  resolving: 'Resolving',
  checking_cache: 'Checking cache',
  downloading: 'Downloading',
  verifying: 'Verifying',
  publishing: 'Publishing',
};

export const phase = (word) => PHASES[word] ?? 'Starting';
export const PHASE_ORDER = Object.keys(PHASES);

/** Order of the list: what runs, what runs next, what holds, then the newest end first. */
export function compare(a, b) {
  const active = Number(isActive(b)) - Number(isActive(a));
  if (active !== 0) return active;
  if (!isActive(a)) return (b.finishedAt ?? '').localeCompare(a.finishedAt ?? '') || b.id.localeCompare(a.id);
  const rank = STATES.indexOf(a.state) - STATES.indexOf(b.state);
  return rank || (a.position ?? Infinity) - (b.position ?? Infinity) || a.id.localeCompare(b.id);
}
