// What buttons do: one call each, a mark while it is pending, a notice when it is refused, a sign-in when it needs one.

import { patch, post, segment } from './api.js';
import { hasten } from './live.js';
import { changed, notice, state } from './store.js';

/**
 * Runs something once at a time under a key.
 * @param {string} key @param {() => Promise<any>} work @param {string} [done]
 */
export async function act(key, work, done) {
  if (state.pending.has(key)) return undefined;
  state.pending.add(key);
  changed();
  try {
    const result = await work();
    if (done) notice('good', done);
    hasten();
    return result ?? true;
  } catch (error) {
    if (error.needsToken) signIn(error, () => act(key, work, done));
    else notice('bad', error.message, { remedy: error.remedy, requestId: error.requestId });
    return undefined;
  } finally {
    state.pending.delete(key);
    changed();
  }
}

/** Nothing was shown: no reason to say that something is wrong. */
export const MISSING = ['admin_token_required', 'token_required'];

/** Opens the sign-in, and does the refused thing when it has succeeded. */
export function signIn(error, then) {
  state.dialog = { kind: 'sign-in', error: MISSING.includes(error?.code) ? null : error, then, token: '' };
  changed();
}

const model = (job, verb) => () => post(`/api/v1/models/${segment(job.modelId)}/${verb}`);
const key = (job) => `job:${job.modelId}`;

export const pause = (job) => act(key(job), model(job, 'pause'));
export const resume = (job) => act(key(job), model(job, 'resume'));
export const retry = (job) => act(key(job), model(job, 'retry'));
export const again = (job) => act(key(job), model(job, 'start'));
export const cancel = (job) => act(key(job), model(job, 'cancel'), `Cancelled ${job.modelId}. What is on disk stays for the next download.`);
export const toTop = (job) => act(key(job), () => patch(`/api/v1/jobs/${segment(job.id)}`, { position: 'top' }));
export const verify = (modelId, repair) =>
  act(`job:${modelId}`, () => post(`/api/v1/models/${segment(modelId)}/verify`, { repair }), `${repair ? 'Repair' : 'Verification'} of ${modelId} is queued.`);

/** Removes the failed status and, with `purge`, what is unfinished on disk. */
export const clear = (job, purge) =>
  act(key(job), async () => {
    await post(`/api/model-download/${segment(job.modelId)}/clear`, { purge });
    state.jobs.delete(job.id);
  }, `Cleared ${job.modelId}.`);

export const pauseQueue = (paused) =>
  act('queue', async () => {
    state.queue = { ...state.queue, ...(await patch('/api/v1/queue', { paused })) };
  });

export const setLimit = (bandwidth_limit) =>
  act('limit', async () => {
    state.queue = { ...state.queue, ...(await patch('/api/v1/queue', { bandwidth_limit })) };
  }, bandwidth_limit === null ? 'The configured limit applies again.' : 'The limit applies from now on.');

/** Whether this session may change things at all. */
export const mayWrite = () => state.session.role !== 'viewer' && state.session.role !== 'none';

/** Whether it may do what concerns everybody; who is not signed in is asked to when he tries. */
export const mayAdmin = () => mayWrite() && !(state.session.signed_in && state.session.role !== 'admin');

/** @param {string} text @param {string} what */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notice('good', `${what} copied.`);
  } catch {
    notice('bad', `The browser does not allow copying here; select the text instead.`);
  }
}
