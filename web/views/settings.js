// What is configured and where, what may be changed live, and whether the service is well.

import { mayAdmin, pauseQueue, setLimit } from '../actions.js';
import { limit as short, moment, parseRate } from '../format.js';
import { load } from '../pages.js';
import { signedIn } from '../session.js';
import { changed, state } from '../store.js';
import { html, nothing } from '../vendor/lit-html.js';
import { button, chip, fact, heading, problem, skeleton } from './parts.js';

state.limit = { text: '', error: null };

export function settings() {
  const { health, ready, config, templates, document, error } = state.page;
  if (error) return html`${heading('Settings')}${problem(error, () => void load())}`;
  if (!health) return html`${heading('Settings')}${skeleton(5)}`;
  return html`${heading('Settings')}
    ${live()}
    <section class="card" aria-label="Health"><h2>Health</h2><dl class="facts">
      ${fact('Ready', ready.ready ? chip('completed', 'Yes') : chip('failed', 'No'))}
      ${ready.database === undefined ? nothing : html`${fact('Database', check(ready.database))}${fact('Cache folder', check(ready.cache))}${fact('Role', ({ holder: 'Works on the queue', standby: 'Stands by', idle: 'Does not work yet' })[ready.role] ?? ready.role)}`}
      ${(ready.reasons ?? []).map((text) => fact('Reason', text))}
      ${state.queue?.lease ? fact('Lease', html`<code>${state.queue.lease.holder}</code>`) : nothing}
      ${fact('Version', health.version)}
      ${state.server?.started_at ? fact('Running since', moment(state.server.started_at)) : nothing}
      ${signedIn() || state.session.known ? fact('Signed in as', state.session.role ?? 'admin (this page only)') : nothing}
    </dl></section>
    ${templates?.problems.length ? html`<section class="card problem" aria-label="Templates"><h2>Templates that are not used</h2><ul>${templates.problems.map((one) => html`<li><code>${one.file}${one.line ? `:${one.line}` : ''}</code> ${one.message}</li>`)}</ul></section>` : nothing}
    ${config ? configuration(config) : html`<section class="card" aria-label="Configuration"><h2>Configuration</h2><p>This service does not show it here. On its machine:</p><pre class="block"><code>modelhaul config show</code></pre></section>`}
    <section class="card" aria-label="Links"><h2>Links</h2><ul class="plain">
      ${document ? html`<li><a href="/docs">API documentation</a></li><li><a href="/api/v1/openapi.json">OpenAPI document</a></li>` : nothing}
      <li><a href="/readyz">Readiness</a></li><li><a href="/metrics">Metrics</a></li><li><a href="/api/v1/queue">Queue as JSON</a></li>
    </ul></section>`;
}

const check = (good) => (good ? chip('completed', 'Works') : chip('failed', 'Does not work'));

/** Who said so, in words. */
const why = () => ({ live: ' (set here)', config: ' (as configured)', window: ' (by a window)' })[state.queue?.limit?.why] ?? '';

function live() {
  const limit = state.queue?.bandwidth_limit ?? null;
  const known = state.queue && 'bandwidth_limit' in state.queue;
  const submit = (event) => {
    event.preventDefault();
    const value = parseRate(state.limit.text);
    state.limit.error = value === null ? 'Type a speed, for example 5 MB/s or 750 kB/s.' : null;
    changed();
    if (value !== null) void setLimit(value).then((done) => { if (done) { state.limit.text = ''; changed(); } });
  };
  return html`<section class="card" aria-label="Now"><h2>Now</h2>
    <dl class="facts">${fact('Queue', state.queue?.paused ? chip('paused', 'Paused') : chip('completed', 'Runs'))}${known ? fact('Bandwidth limit', limit === null ? 'None' : limit === 0 ? `Standstill${why()}` : `${short(limit)}${why()}`) : nothing}${state.queue?.limited_by ? fact('Limited by', state.queue.limited_by.text) : nothing}</dl>
    ${mayAdmin() ? html`<form class="line" @submit=${submit}>
      <label for="limit">Limit all downloads to</label>
      <input id="limit" inputmode="text" autocomplete="off" placeholder="5 MB/s" .value=${state.limit.text} aria-invalid=${state.limit.error ? 'true' : nothing} aria-describedby=${state.limit.error ? 'limit-error' : nothing} @input=${(event) => { state.limit.text = event.target.value; state.limit.error = null; changed(); }}>
      <button class="button" type="submit" ?disabled=${state.pending.has('limit')}>Set limit</button>
      ${button('Back to configured', () => void setLimit(null), { tone: 'quiet', busy: state.pending.has('limit') })}
    </form>
    ${state.limit.error ? html`<p id="limit-error" class="warn" role="alert">${state.limit.error}</p>` : nothing}
    <div class="buttons start">${button(state.queue?.paused ? 'Resume queue' : 'Pause queue', () => pauseQueue(!state.queue?.paused), { busy: state.pending.has('queue') })}</div>` : html`<p class="muted">Your role may look, not change.</p>`}
  </section>`;
}

const configuration = (config) => html`<section class="card" aria-label="Configuration"><h2>Configuration</h2>
  <div class="scroll whole" tabindex="0" role="region" aria-label="Configuration table"><table><thead><tr><th scope="col">Setting</th><th scope="col">Value</th><th scope="col">From</th></tr></thead>
  <tbody>${config.settings.map((one) => html`<tr><th scope="row"><code>${one.name}</code></th><td>${one.value === null ? '–' : String(one.value)}</td><td class="muted">${one.origin}</td></tr>`)}</tbody></table></div></section>`;
