// The queue: the add box, what runs, and all other jobs by state.

import { again, cancel, clear, mayAdmin, mayWrite, pause, resume, retry, toTop } from '../actions.js';
import { ago, bytes, count, duration, percent, rate, until } from '../format.js';
import { PHASE_ORDER, STATES, compare, isActive, phase, reason } from '../job.js';
import { setQuery } from '../router.js';
import { changed, now, state } from '../store.js';
import { html, nothing, repeat } from '../vendor/lit-html.js';
import { add } from './add.js';
import { bar, button, copyable, empty, heading, part, sentence, stateChip, stateWord } from './parts.js';

export function queue() {
  const jobs = [...state.jobs.values()].sort(compare);
  const runs = jobs.filter((job) => job.state === 'running');
  return html`
    ${heading('Queue')}
    ${mayWrite() ? add() : nothing}
    ${runs.map(active)}
    ${jobs.length === 0 ? firstRun() : html`${filters(jobs)}${list(jobs)}`}`;
}

function firstRun() {
  const { origin } = location;
  return empty('Nothing was downloaded yet', 'Type a repository of the Hugging Face hub above, for example SmilingWolf/wd-vit-tagger-v3, or ask from a program:', html`
    <div class="commands">
      ${copyable('modelhaul pull SmilingWolf/wd-vit-tagger-v3 --template wdv3', 'Command')}
      ${copyable(`curl -X POST ${origin}/api/v1/models -H 'Content-Type: application/json' -d '{"model_id":"wd","kind":"caption","repo_id":"SmilingWolf/wd-vit-tagger-v3","template":"wdv3"}'`, 'Command')}
      ${copyable(`curl -X POST ${origin}/api/model-download/wd/start`, 'Command')}
    </div>
    <p class="muted">Downloads that any program asks for appear here, whoever started them.</p>`);
}

const FILTERS = ['all', ...STATES];

function filters(jobs) {
  const chosen = state.route.query.get('state') ?? 'all';
  const text = state.route.query.get('q') ?? '';
  const counts = Map.groupBy(jobs, (job) => job.state);
  return html`<div class="filters">
    <div role="group" aria-label="Show jobs by state">${FILTERS.map((name) => {
      const n = name === 'all' ? jobs.length : counts.get(name)?.length ?? 0;
      return n === 0 && name !== chosen && name !== 'all' ? nothing : html`<button type="button" class="filter" aria-pressed=${String(name === chosen)} @click=${() => setQuery('state', name === 'all' ? '' : name)}>${name === 'all' ? 'All' : stateWord(name)} <span>${n}</span></button>`;
    })}</div>
    ${all(chosen, jobs)}
    <input type="search" aria-label="Filter by model" placeholder="Filter by model" .value=${text} @input=${(event) => setQuery('q', event.target.value)}>
  </div>`;
}

/** What may be done with all jobs of the chosen state at once. */
function all(chosen, jobs) {
  const those = shown(jobs);
  const [word, work] = { failed: ['Retry all', retry], waiting: ['Retry all now', retry], paused: held() ? [] : ['Resume all', resume], cancelled: ['Download all again', again] }[chosen] ?? [];
  if (!mayWrite() || !word || those.length < 2) return nothing;
  return html`<span class="push"></span>${button(`${word} (${those.length})`, () => those.forEach(work), { busy: those.some((job) => state.pending.has(`job:${job.modelId}`)) })}`;
}

function shown(jobs) {
  const chosen = state.route.query.get('state') ?? 'all';
  const text = (state.route.query.get('q') ?? '').toLowerCase();
  return jobs.filter((job) => (chosen === 'all' ? job.state !== 'running' : job.state === chosen) && job.modelId.toLowerCase().includes(text));
}

function list(jobs) {
  const chosen = state.route.query.get('state') ?? 'all';
  const text = state.route.query.get('q') ?? '';
  const rows = shown(jobs);
  if (rows.length === 0) {
    if (chosen === 'all' && text === '') return nothing;
    return empty('No job fits the filter', 'Others are hidden.', button('Show all', () => { setQuery('q', ''); setQuery('state', ''); }));
  }
  return html`<ul class="rows" aria-label="Jobs">${repeat(rows, (job) => job.id, row)}</ul>
    ${state.truncated ? html`<p class="muted">Older jobs are not listed.</p>` : nothing}`;
}

const stale = () => (state.link.mode === 'lost' ? 'stale' : '');

/** The card of the job that runs. */
function active(job) {
  const p = job.progress;
  const files = state.files.get(job.id) ?? [];
  const at = PHASE_ORDER.indexOf(job.phase);
  return html`<section class="card active" aria-label="Running: ${job.modelId}">
    <div class="title"><h2><a href="/jobs/${job.id}">${job.modelId}</a></h2>${stateChip(job)}${job.kind === 'verify' ? html`<span class="muted">verification</span>` : nothing}<span class="push"></span><div class="buttons">${buttons(job)}</div></div>
    <ol class="phases" aria-label="Steps">${PHASE_ORDER.map((name, n) => html`<li data-at=${n < at ? 'done' : n === at ? 'now' : 'next'} aria-current=${n === at ? 'step' : nothing}>${phase(name)}</li>`)}</ol>
    ${bar(`Progress of ${job.modelId}`, p.bytes_downloaded, p.bytes_total, stale())}
    <dl class="figures">
      <div><dt>Received</dt><dd>${bytes(p.bytes_downloaded)} <span class="muted">of ${bytes(p.bytes_total)}</span></dd></div>
      <div><dt>Done</dt><dd>${percent(p.percent) || '–'}</dd></div>
      <div><dt>Speed</dt><dd>${rate(p.speed_bytes_per_second)}</dd></div>
      <div><dt>Time left</dt><dd>${p.eta_seconds === null ? '–' : duration(p.eta_seconds)}</dd></div>
      <div><dt>Files</dt><dd>${p.files_downloaded}<span class="muted"> of ${p.files_total ?? '–'}</span></dd></div>
      ${job.attempt > 1 ? html`<div><dt>Attempt</dt><dd>${job.attempt}</dd></div>` : nothing}
    </dl>
    ${stalled(p)}
    ${files.length ? html`<ul class="files" aria-label="Files under way">${repeat(files, (file) => file.path, (file) => html`<li><span class="path" title=${file.path}>${file.path}</span>${bar(file.path, file.received, file.size, stale())}<span class="num">${bytes(file.received)} / ${bytes(file.size)}</span></li>`)}</ul>` : nothing}
  </section>`;
}

/** Says it when nothing has come for a while. */
function stalled(p) {
  const quiet = p.last_byte_at ? (now() - Date.parse(p.last_byte_at)) / 1000 : 0;
  return quiet > 15 && state.link.mode !== 'lost' ? html`<p class="warn">No byte for ${duration(quiet)}.</p>` : nothing;
}

/** How long it took from the first claim. */
function took(job) {
  const seconds = (Date.parse(job.finishedAt) - Date.parse(job.startedAt)) / 1000;
  return seconds < 1 ? 'less than 1 s' : duration(seconds);
}

function row(job) {
  const p = job.progress;
  return html`<li class="row" data-state=${job.state}>
    <div class="name"><a href="/jobs/${job.id}">${job.modelId}</a>${job.kind === 'verify' ? html` <span class="muted">verification</span>` : nothing}</div>
    <div class="state">${stateChip(job)}</div>
    <div class="how">${isActive(job) || job.state === 'failed'
      ? html`${p.bytes_total ? html`${bar(`Progress of ${job.modelId}`, p.bytes_downloaded, p.bytes_total, stale() || job.state)}<span class="num">${part(p.bytes_downloaded, p.bytes_total)} of ${bytes(p.bytes_total)}</span>` : nothing}`
      : job.state === 'not_started' ? nothing : html`<span class="num">${bytes(p.bytes_downloaded)}, ${count(p.files_downloaded, 'file')}</span>`}</div>
    <div class="why">${why(job)}</div>
    <div class="buttons">${buttons(job)}</div>
  </li>`;
}

/** Whether nothing runs: a person's pause, or a window. */
const held = () => Boolean(state.queue?.paused || (state.queue?.bandwidth_limit === 0 && state.queue.limited_by));

/** Why it stands where it stands, in one line. */
export function why(job) {
  if (job.state === 'queued') return job.position ? (job.position === 1 ? 'Next' : `Number ${job.position} in the queue`) : 'In the queue';
  if (job.state === 'waiting') return html`${reason(job.waiting.reason)}. Next try ${until(job.waiting.until, now())}.${job.error ? html` <span class="cause">${sentence(job.error.message)}</span>` : nothing}`;
  if (job.state === 'paused') return state.queue?.paused ? 'The queue is paused' : held() ? state.queue.limited_by.text : 'Held until it is resumed';
  if (job.state === 'failed') return html`<span class="cause">${sentence(job.error?.message ?? 'No reason was given')}</span>${job.error?.remedy ? html` <span>${sentence(job.error.remedy)}</span>` : nothing}`;
  // Its last job has ended well, and then somebody took the files away.
  if (job.state === 'not_started') return 'Its files are not in the cache any more';
  return html`<span title=${job.finishedAt ?? ''}>${ago(job.finishedAt, now())}${job.startedAt && job.state === 'completed' ? `, took ${took(job)}` : ''}</span>`;
}

/** What may be done with a job; all names say which one. */
export function buttons(job) {
  if (!mayWrite()) return nothing;
  const busy = state.pending.has(`job:${job.modelId}`);
  const b = (text, click, tone = '') => button(text, click, { tone, busy, label: `${text} ${job.modelId}` });
  const latest = !job.cleared && [...state.jobs.values()].every((other) => other.modelId !== job.modelId || other.id <= job.id);
  switch (job.state) {
    case 'running': return [job.kind === 'verify' ? nothing : b('Pause', () => pause(job)), b('Cancel', () => cancel(job), 'quiet')];
    case 'queued': return [state.session.known && job.position !== 1 ? b('To top', () => toTop(job), 'quiet') : nothing, b('Pause', () => pause(job)), b('Cancel', () => cancel(job), 'quiet')];
    case 'waiting': return [b('Retry now', () => retry(job)), b('Pause', () => pause(job)), b('Cancel', () => cancel(job), 'quiet')];
    case 'paused': return [held() ? nothing : b('Resume', () => resume(job)), b('Cancel', () => cancel(job), 'quiet')];
    case 'failed': return latest ? [b('Retry', () => retry(job)), mayAdmin() ? b('Clear', () => askClear(job), 'quiet') : nothing] : nothing;
    case 'not_started': return b('Download again', () => again(job));
    case 'cancelled': return latest ? [b('Download again', () => again(job)), mayAdmin() ? b('Clear', () => askClear(job), 'quiet') : nothing] : nothing;
    default: return nothing;
  }
}

function askClear(job) {
  state.dialog = { kind: 'clear', job, purge: false, act: (purge) => clear(job, purge) };
  changed();
}
