// One job: numbers, files, attempts, the trail, and how to use what it brought.

import { verify, mayWrite } from '../actions.js';
import { bytes, count, duration, moment, percent, rate, until } from '../format.js';
import { isActive, phase, reason } from '../job.js';
import { load } from '../pages.js';
import { now, state } from '../store.js';
import { html, nothing } from '../vendor/lit-html.js';
import { bar, button, chip, copyable, fact, heading, problem, sentence, skeleton, snippet, stateChip } from './parts.js';
import { buttons } from './queue.js';

export function job() {
  const page = state.page;
  if (page.error) return html`<p class="crumb"><a href="/">Queue</a></p>${heading('Job')}${problem(page.error, () => void load())}`;
  if (!page.job) return html`<p class="crumb"><a href="/">Queue</a></p>${heading('Job')}${skeleton(6)}`;
  // The feed is newer than what the page asked for.
  const shown = { ...page.job, ...(state.jobs.get(page.job.id) ?? {}) };
  const p = shown.progress;
  return html`
    <p class="crumb"><a href="/">Queue</a></p>
    ${heading(shown.modelId, html`${stateChip(shown)}<span class="push"></span><div class="buttons">${buttons(shown)}</div>`)}
    <section class="card" aria-label="Progress">
      ${p.bytes_total || isActive(shown) ? bar(`Progress of ${shown.modelId}`, p.bytes_downloaded, p.bytes_total, shown.state) : nothing}
      <dl class="figures">
        <div><dt>Received</dt><dd>${bytes(p.bytes_downloaded)} <span class="muted">of ${bytes(p.bytes_total)}</span></dd></div>
        <div><dt>Done</dt><dd>${percent(p.percent) || '–'}</dd></div>
        ${shown.state === 'running' ? html`<div><dt>Speed</dt><dd>${rate(p.speed_bytes_per_second)}</dd></div><div><dt>Time left</dt><dd>${p.eta_seconds === null ? '–' : duration(p.eta_seconds)}</dd></div>` : nothing}
        <div><dt>Files</dt><dd>${p.files_downloaded} <span class="muted">of ${p.files_total ?? '–'}</span></dd></div>
        <div><dt>Reused</dt><dd>${bytes(p.bytes_reused)}</dd></div>
        <div><dt>Attempts</dt><dd>${shown.attempt}</dd></div>
      </dl>
      ${shown.state === 'running' ? html`<p class="muted">${phase(shown.phase)}${p.current_file ? html`: ${p.current_file}` : nothing}</p>` : nothing}
      ${shown.state === 'waiting' ? html`<p class="warn">${reason(shown.waiting.reason)}. Next try ${until(shown.waiting.until, now())}.</p>` : nothing}
    </section>
    ${shown.error ? failure(shown.error) : nothing}
    ${use(page)}
    ${facts(shown, page)}
    ${files(page)}
    ${attempts(page.attempts, shown)}
    ${events(page.events)}
    ${others(page.others)}
    <details class="card"><summary>Raw JSON</summary>${snippet(JSON.stringify(page.raw, null, 2), 'JSON')}</details>`;
}

const failure = (error) => html`<section class="card problem" aria-label="Error">
  <h2>${sentence(error.message)}</h2>
  ${error.remedy ? html`<p>${sentence(error.remedy)}</p>` : nothing}
  <p class="muted">${error.code}${error.retryable === false ? ' · a retry alone does not help' : ''}</p>
</section>`;

function use({ registration, cache }) {
  if (!cache?.complete || !cache.path) return nothing;
  const code = registration?.repo_id
    ? `from huggingface_hub import snapshot_download\n\npath = snapshot_download(\n    ${JSON.stringify(registration.repo_id)},\n    revision=${JSON.stringify(cache.commit ?? registration.revision)},\n    local_files_only=True,\n)`
    : `path = ${JSON.stringify(cache.path)}`;
  return html`<section class="card" aria-label="Use it">
    <h2>Use it ${cache.verified ? chip('completed', 'Verified') : chip('idle', 'Not verified')}</h2>
    ${copyable(cache.path, 'Path')}
    ${snippet(code, 'Python')}
    ${mayWrite() && registration ? html`<div class="buttons start">${button('Verify', () => verify(registration.model_id, false))}${button('Repair', () => verify(registration.model_id, true), { tone: 'quiet' })}</div>` : nothing}
  </section>`;
}

const facts = (shown, { raw, registration }) => html`<section class="card" aria-label="Facts"><h2>Facts</h2><dl class="facts">
  ${registration ? html`${fact('Repository', registration.repo_id ?? (registration.files ? `${registration.files.length} by address` : 'the app’s own'))}${fact('Revision', html`<code>${registration.revision ?? '–'}</code>`)}${fact('Template', html`${registration.template ?? 'by kind'}${registration.variant ? `, ${registration.variant}` : ''}`)}` : nothing}
  ${fact('Commit', raw.commit ? html`<code>${raw.commit}</code>` : '–')}
  ${fact('Kind', `${shown.kind}${raw.repair ? ', repair' : ''}`)}
  ${fact('Accepted', moment(shown.enqueuedAt))}${fact('Started', moment(shown.startedAt))}${fact('Finished', moment(shown.finishedAt))}
  ${fact('Job', html`<code>${shown.id}</code>`)}
</dl></section>`;

function files({ files: list, moreFiles }) {
  if (!list.length) return nothing;
  const under = new Map((state.files.get(state.page.job.id) ?? []).map((file) => [file.path, file.received]));
  const word = (file) => (file.corrupt ? chip('failed', 'Corrupt') : file.verified ? chip('completed', 'Verified') : file.state === 'done' ? chip('completed', 'Here') : file.state === 'partial' || under.has(file.path) ? chip('running', 'Under way') : chip('idle', 'Missing'));
  return html`<details class="card" open><summary><h2>${count(list.length, 'file')}${moreFiles ? ' and more' : ''}</h2></summary>
    <ul class="files wide">${list.map((file) => {
      const received = Math.max(file.bytes_downloaded, under.get(file.path) ?? 0);
      return html`<li><span class="path" title=${file.path}>${file.path}</span>${bar(file.path, received, file.size || 1, file.corrupt ? 'failed' : file.state === 'done' ? 'completed' : '')}<span class="num">${bytes(received)} / ${bytes(file.size)}</span>${word(file)}</li>`;
    })}</ul></details>`;
}

const OUTCOME = { completed: 'completed', failed: 'failed', retry: 'waiting', cancelled: 'cancelled', released: 'idle', lost: 'waiting' };

const OUTCOME_WORD = { completed: 'Completed', failed: 'Failed', retry: 'To be retried', cancelled: 'Cancelled', released: 'Released', lost: 'Interrupted' };

function attempts(list, shown) {
  if (!list.length) return nothing;
  // The one under way has no end yet: its bytes are the job's.
  const end = (one) => one.bytes_end ?? (shown.state === 'running' ? shown.progress.bytes_downloaded : one.bytes_start);
  return html`<section class="card" aria-label="Attempts"><h2>Attempts</h2><ol class="line-of-time">${list.map((one) => html`<li>
    <div>${chip(one.outcome ? OUTCOME[one.outcome] ?? 'idle' : 'running', one.outcome ? OUTCOME_WORD[one.outcome] ?? one.outcome : 'Under way')} <strong>Attempt ${one.attempt}</strong>
      <span class="muted">${moment(one.started_at)}${one.ended_at ? `, ${duration((Date.parse(one.ended_at) - Date.parse(one.started_at)) / 1000)}` : ''}, ${bytes(Math.max(0, end(one) - one.bytes_start))} fetched</span></div>
    ${one.error ? html`<p>${sentence(one.error)} <code>${one.error_code}</code></p>` : nothing}
    <p class="muted">by ${one.holder}, lease ${one.lease_token}</p></li>`)}</ol></section>`;
}

function others(list) {
  if (!list.length) return nothing;
  return html`<details class="card"><summary><h2>${count(list.length, 'other job')} of this model</h2></summary><ul class="plain">${list.map((one) => html`<li class="line">${stateChip(one)} <a href="/jobs/${one.id}">${moment(one.enqueuedAt)}</a><span class="muted">${one.kind === 'verify' ? 'verification, ' : ''}${bytes(one.progress.bytes_downloaded)}${one.cleared ? ', cleared' : ''}</span></li>`)}</ul></details>`;
}

function events(list) {
  if (!list.length) return nothing;
  const text = (one) => (one.kind === 'state' ? `${one.from_state} → ${one.to_state}` : one.kind.replaceAll('_', ' '));
  return html`<details class="card"><summary><h2>${count(list.length, 'event')}</h2></summary><div class="scroll" tabindex="0" role="region" aria-label="Events"><table>
    <thead><tr><th scope="col">When</th><th scope="col">What</th><th scope="col">Detail</th></tr></thead>
    <tbody>${list.toReversed().map((one) => html`<tr><td class="num">${moment(one.at)}</td><td>${text(one)}</td><td>${one.detail ?? ''}</td></tr>`)}</tbody></table></div></details>`;
}
