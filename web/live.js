// Where live data comes from: the event stream, or polling while there is none. A hidden tab asks for nothing.

import { get, hasToken, optional } from './api.js';
import { fromBody, fromStatus, isActive, newest, withEntry } from './job.js';
import { announce, changed, notice, serverNow, state } from './store.js';

const POLL = 5000;
const POLL_LOST = 1500;
const STREAM_AGAIN = 30_000;
/** The service speaks each second; a stream that is silent for longer is none, whatever the browser believes. */
const SILENT = 10_000;
const RING = 300;

let source = null;
let timer = 0;
let failures = 0;
let epoch = null;
let streamAgain = 0;
let hadStream = false;
let refused = 0;
let heardAt = 0;
let running = 0;

export function start() {
  document.addEventListener('visibilitychange', () => (document.hidden ? stop() : connect()));
  if (!document.hidden) connect();
  setInterval(listen, 1000);
}

/** Leaves a stream from which nothing comes, and asks meanwhile. */
function listen() {
  if (source === null || Date.now() - heardAt < SILENT) return;
  stop();
  streamAgain = Date.now() + STREAM_AGAIN;
  lost('nothing has come for a while');
  poll();
}

/** Begins anew: after a sign-in, or when somebody presses “Retry now”. */
export function connect() {
  stop();
  failures = 0;
  streamAgain = 0;
  next();
}

/** Asks for fresh numbers soon, for example after an action; the stream brings them by itself. */
export function hasten() {
  if (source === null) schedule(150);
}

function stop() {
  running += 1;
  clearTimeout(timer);
  source?.close();
  source = null;
}

function schedule(after) {
  clearTimeout(timer);
  timer = setTimeout(next, after);
}

function next() {
  // A stream cannot carry a token that is kept in memory only.
  if (!hasToken() && Date.now() >= streamAgain) stream();
  else poll();
}

function fresh(mode) {
  const was = state.link.mode;
  state.link = { mode, lastData: Date.now(), why: null };
  state.loaded = true;
  state.blocked = null;
  if (was !== 'lost') return;
  announce('Connected again.');
  onBack();
}

function lost(why) {
  if (state.link.mode !== 'lost') announce(`Live updates lost: ${why}`);
  state.link = { ...state.link, mode: 'lost', why };
  changed();
}

// --- the stream ------------------------------------------------------------------------------------------------------

function stream() {
  const mine = new EventSource('/api/v1/events');
  source = mine;
  heardAt = Date.now();
  const on = (name, handle) =>
    mine.addEventListener(name, (event) => {
      if (source !== mine) return;
      failures = 0;
      refused = 0;
      hadStream = true;
      heardAt = Date.now();
      handle(JSON.parse(event.data), event);
      fresh('stream');
      changed();
    });
  on('snapshot', (data, event) => {
    epoch = event.lastEventId.split(':')[0];
    meet(data.server);
    state.truncated = data.truncated;
    state.jobs = new Map(data.jobs.map((row) => [row.job_id, fromStatus(row)]));
    queueIs(data.queue);
  });
  on('resumed', (data) => {
    meet(data.server);
    queueIs(data.queue);
  });
  on('job', (data, event) => {
    const before = epoch;
    epoch = event.lastEventId.split(':')[0];
    if (before !== null && before !== epoch) {
      // Another database: nothing that is shown is true any more.
      connect();
      return;
    }
    if (data.kind === 'cleared') state.jobs.delete(data.job_id);
    if (!data.status || !data.job_id || data.kind === 'cleared') return;
    if (data.status.job_id === data.job_id) take(fromStatus(data.status));
    state.jobEvent = { id: data.job_id, seq: data.id };
    heard(data.job_id);
  });
  on('progress', (data) => {
    for (const item of data.jobs) {
      const job = state.jobs.get(item.job_id);
      if (job) state.jobs.set(item.job_id, { ...job, phase: item.phase, progress: item.progress });
      state.files.set(item.job_id, item.files);
    }
  });
  on('queue', queueIs);
  on('throughput', (data) => flow(data.t, data.bytes_per_second));
  mine.addEventListener('bye', (event) => {
    if (source !== mine) return;
    const { reason } = JSON.parse(event.data);
    stop();
    if (reason === 'shutdown') lost('the service has stopped');
    schedule(reason === 'lagged' ? 200 : POLL_LOST);
  });
  mine.onerror = () => {
    if (source !== mine) return;
    failures += 1;
    if (mine.readyState === EventSource.CLOSED || failures >= 2) {
      stop();
      // Without an answer the poll says why. What refuses again and again is asked less often for a stream, but never given up:
      // a service that has just started may have had no place or no database yet.
      refused += 1;
      streamAgain = Date.now() + (refused < 4 ? 2000 : STREAM_AGAIN);
      poll();
    } else if (hadStream) {
      lost('the connection broke');
    }
  };
}

function heard(id) {
  for (const listener of listeners) listener(id);
}

const listeners = new Set();

/** Tells when something durable happened to a job. */
export function onJob(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

// --- polling ---------------------------------------------------------------------------------------------------------

async function poll() {
  const mine = running;
  try {
    const [queue, list, session] = await Promise.all([get('/api/v1/queue?limit=500'), get('/api/v1/jobs?limit=250'), optional('/api/v1/session')]);
    const runs = queue.queue.find((entry) => entry.state === 'running');
    const files = runs ? await get(`/api/v1/jobs/${runs.job_id}/files?limit=1000`) : null;
    if (mine !== running) return;
    const jobs = new Map(newest(list.items.map(fromBody)).map((job) => [job.id, job]));
    state.truncated = list.next !== null || Boolean(queue.next);
    for (const entry of queue.queue) jobs.set(entry.job_id, withEntry(jobs.get(entry.job_id), entry));
    for (const [id, job] of jobs) tell(state.jobs.get(id), job);
    state.jobs = jobs;
    queueIs(queue);
    state.files = new Map();
    if (files) {
      const under = files.items.filter((file) => file.state === 'partial');
      state.files.set(runs.job_id, under.slice(0, 16).map((file) => ({ path: file.path, size: file.size, received: file.bytes_downloaded })));
    }
    flow(Math.floor(Date.now() / 1000), runs?.progress.speed_bytes_per_second ?? 0);
    if (session) {
      state.session = { ...session, known: true };
      meet(session.server);
    }
    // Who is back is listened to again, not asked for another while.
    const back = state.link.mode === 'lost' && hadStream;
    fresh('poll');
    if (runs) heard(runs.job_id);
    schedule(back ? POLL_LOST : POLL);
  } catch (error) {
    if (mine !== running) return;
    if (error.needsToken) {
      state.blocked = error;
      state.loaded = true;
    } else {
      lost(error.message);
    }
    schedule(POLL_LOST);
  }
  changed();
}

/** Takes over the queue. Another one who works on it changes what this service is: the rest is asked for again. */
function queueIs(queue) {
  const before = state.queue;
  state.queue = queue;
  position(queue.queue);
  if (before && before.lease?.holder !== queue.lease?.holder) onBack();
}

let onBack = () => {};
export function onReturn(f) {
  onBack = f;
}

/** Notes which process answers; another one than before means a restart. */
export function meet(server) {
  if (!server) return;
  if (state.server && state.server.instance !== server.instance) notice('info', 'The service was restarted. Everything here is up to date again.');
  state.server = { ...state.server, ...server };
  serverNow(server.now);
}

function position(entries) {
  for (const entry of entries ?? []) {
    const job = state.jobs.get(entry.job_id);
    if (job) state.jobs.set(entry.job_id, { ...job, position: entry.queue_position, state: entry.state, waiting: entry.waiting });
  }
}

function take(job) {
  tell(state.jobs.get(job.id), job);
  // A model has one row: its newest job.
  for (const other of state.jobs.values()) {
    if (other.modelId === job.modelId && other.id < job.id) state.jobs.delete(other.id);
  }
  state.jobs.set(job.id, { ...job, position: job.position ?? null });
  if (!isActive(job)) state.files.delete(job.id);
}

function tell(before, job) {
  if (!before || before.state === job.state) return;
  if (job.state === 'completed' || job.state === 'failed') announce(`${job.modelId}: ${job.state}`);
}

function flow(t, value) {
  const last = state.ring.at(-1);
  if (last && t <= last[0]) return;
  state.ring.push([t, value]);
  while (state.ring.length > RING) state.ring.shift();
}
