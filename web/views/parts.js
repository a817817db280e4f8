// Small pieces that several screens share.

import { copy } from '../actions.js';
import { percent } from '../format.js';
import { html, nothing } from '../vendor/lit-html.js';

const WORDS = {
  running: 'Running', queued: 'Queued', waiting: 'Waiting', paused: 'Paused', failed: 'Failed', completed: 'Completed', cancelled: 'Cancelled', not_started: 'Removed',
};

export const stateWord = (state) => WORDS[state] ?? String(state);

export const chip = (tone, text) => html`<span class="chip" data-tone=${tone}>${text}</span>`;

export const stateChip = (job) => chip(job.state, job.cancelling ? 'Cancelling' : stateWord(job.state));

/** A bar; without a value it says that something goes on. */
export const bar = (label, value, max, tone = '') => (max
  ? html`<progress class="bar" data-tone=${tone} aria-label=${label} .max=${max} .value=${Math.min(value ?? 0, max)}></progress>`
  : html`<progress class="bar" data-tone=${tone} aria-label=${label}></progress>`);

export const part = (value, max) => (max ? percent(Math.min(100, (100 * (value ?? 0)) / max)) : '');

export const button = (text, click, { tone = '', disabled = false, label = null, busy = false } = {}) => html`<button
  type="button" class="button" data-tone=${tone} ?disabled=${disabled || busy} aria-label=${label ?? nothing}
  aria-busy=${busy ? 'true' : nothing} @click=${click}>${text}</button>`;

export const copyable = (text, what) => html`<div class="copyable"><code>${text}</code>${button('Copy', () => copy(text, what), { tone: 'quiet', label: `Copy ${what.toLowerCase()}` })}</div>`;

export const snippet = (text, what) => html`<div class="snippet"><pre tabindex="0" role="region" aria-label=${what}><code>${text}</code></pre>${button('Copy', () => copy(text, what), { tone: 'quiet', label: `Copy ${what.toLowerCase()}` })}</div>`;

/** A refusal: what, the next step, the request id for the log. */
export const problem = (error, retry = null) => html`<div class="problem" role="alert">
  <p><strong>${sentence(error.message)}</strong></p>
  ${(error.fields ?? []).length > 1 ? html`<ul>${error.fields.map((one) => html`<li><code>${one.field}</code>: ${one.rule}</li>`)}</ul>` : nothing}
  ${error.remedy ? html`<p>${sentence(error.remedy)}</p>` : nothing}
  <p class="muted">${error.code}${error.requestId ? html` · request <code>${error.requestId}</code>` : nothing}</p>
  ${retry ? button('Try again', retry) : nothing}
</div>`;

/** Text in which addresses of the web can be followed and `words` stand out; everything else stays text. */
export function prose(text) {
  const pieces = String(text ?? '').split(/(https?:\/\/[^\s"'<>`]*[^\s"'<>`.,;:)]|`[^`]+`)/);
  return pieces.map((piece, at) => (at % 2 === 0 ? piece : piece.startsWith('`') ? html`<code>${piece.slice(1, -1)}</code>` : html`<a href=${piece} target="_blank" rel="noreferrer noopener">${piece}</a>`));
}

/** A message of the service as a sentence: it begins small and without a stop, because programs put it into their own. */
export function sentence(text) {
  const words = String(text ?? '').trim().replace(/^[a-z]+(?=[ ,])/, (word) => word[0].toUpperCase() + word.slice(1));
  return prose(words === '' || /[.!?:]$/.test(words) ? words : `${words}.`);
}

export const empty = (title, text, more = nothing) => html`<div class="empty"><h2>${title}</h2><p>${text}</p>${more}</div>`;

export const skeleton = (lines = 3) => html`<div class="skeleton" aria-busy="true" role="status"><span class="unseen">Loading</span>${Array.from({ length: lines }, () => html`<i></i>`)}</div>`;

export const heading = (text, more = nothing) => html`<div class="heading"><h1 tabindex="-1">${text}</h1>${more}</div>`;

export const fact = (name, value) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
