// Data that only one screen needs: asked for when it is entered, and again when something has happened.

import { get, optional, segment } from './api.js';
import { fromBody } from './job.js';
import { onJob } from './live.js';
import { changed, state } from './store.js';

state.page = { loading: false, error: null };
let generation = 0;
let again = 0;

/** Called when a screen is entered. */
export function enter(route) {
  generation += 1;
  clearTimeout(again);
  state.page = { loading: true, error: null };
  document.title = `${{ queue: 'Queue', job: 'Job', library: 'Library', activity: 'Activity', settings: 'Settings' }[route.name] ?? 'Not found'} – modelhaul`;
  void load();
}

/** Asks again for what the screen shows. */
export async function load() {
  const mine = generation;
  const { name, id, query } = state.route;
  const loader = { job: () => jobPage(id), library, activity: () => activity(query.get('range') ?? '5m'), settings, queue: () => ({}) }[name];
  if (!loader) return;
  try {
    const data = await loader();
    if (mine === generation) state.page = { ...state.page, ...data, loading: false, error: null };
  } catch (error) {
    if (mine === generation) state.page = { ...state.page, loading: false, error };
  }
  changed();
}

async function jobPage(id) {
  const path = `/api/v1/jobs/${segment(id)}`;
  const body = await get(path);
  const model = segment(body.model_id);
  const [files, events, attempts, others, registration, status] = await Promise.all([
    get(`${path}/files?limit=2000`),
    get(`${path}/events?limit=1000`),
    get(`${path}/attempts?limit=1000`),
    get(`/api/v1/jobs?limit=20&model_id=${model}`),
    optional(`/api/v1/models/${model}`),
    optional(`/api/model-download-status/${model}`),
  ]);
  return { raw: body, job: fromBody(body), files: files.items, moreFiles: files.next !== null, events: events.items, attempts: attempts.items, others: others.items.map(fromBody).filter((one) => one.id !== body.id), registration, cache: status?.cache ?? null };
}

async function library() {
  return { report: await get('/api/v1/cache') };
}

async function activity(range) {
  return { throughput: await optional(`/api/v1/throughput?span=${segment(range)}`), range };
}

async function settings() {
  const [config, ready, health, templates, document] = await Promise.all([
    optional('/api/v1/config'),
    // 503 carries the same members: it is an answer, no failure.
    get('/readyz').catch((error) => (error.status === 503 ? error.members : Promise.reject(error))),
    get('/healthz'),
    get('/api/v1/templates?limit=500'),
    fetch('/api/v1/openapi.json', { method: 'HEAD' }).then((answer) => answer.ok, () => false),
  ]);
  return { config, ready, health, templates, document };
}

/** What the header needs beside the feed. */
export async function learn() {
  const [config, ready] = await Promise.all([
    optional('/api/v1/config').catch(() => null),
    get('/readyz').catch((error) => (error.status === 503 ? error.members : null)),
  ]);
  state.config = config ?? state.config;
  state.ready = ready ?? state.ready;
  changed();
}

onJob((id) => {
  const { name } = state.route;
  if (!(name === 'library' || (name === 'job' && state.route.id === id))) return;
  clearTimeout(again);
  again = setTimeout(load, name === 'job' ? 400 : 1500);
});
