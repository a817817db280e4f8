// The one dialog: sign in, clear, delete. The browser's own keeps the focus inside.

import { bytes } from '../format.js';
import { changed, state } from '../store.js';
import { html, nothing } from '../vendor/lit-html.js';
import { button } from './parts.js';
import { fields } from './signin.js';

let shown = null;
let before = null;

const close = () => {
  state.dialog = null;
  changed();
};

export function dialog() {
  if (state.dialog && shown === null) before = document.activeElement;
  // After the markup is there: a dialog opens by a call only.
  if (shown !== state.dialog) {
    shown = state.dialog;
    queueMicrotask(() => {
      const element = document.querySelector('dialog');
      if (shown && element && !element.open) element.showModal();
      if (!shown && before instanceof HTMLElement) before.focus();
    });
  }
  if (!state.dialog) return nothing;
  const [title, content] = BODIES[state.dialog.kind](state.dialog);
  return html`<dialog aria-labelledby="dialog-title" @cancel=${(event) => { event.preventDefault(); close(); }}><h2 id="dialog-title">${title}</h2>${content}</dialog>`;
}

const BODIES = {
  'sign-in': (it) => ['This needs a token', fields(it.error, () => { close(); it.then?.(); }, close)],
  clear: (it) => [`Clear ${it.job.modelId}?`, html`<form class="stack" @submit=${(event) => { event.preventDefault(); close(); void it.act(it.purge); }}>
    <p>Its status goes, so that a download begins anew. Finished files stay in the cache.</p>
    <label class="check"><input type="checkbox" .checked=${it.purge} @change=${(event) => { it.purge = event.target.checked; changed(); }}> Delete its unfinished files too</label>
    <div class="buttons start"><button class="button" data-tone="main" type="submit">Clear</button>${button('Keep it', close, { tone: 'quiet' })}</div></form>`],
  remove: (it) => [`Delete from ${it.name}?`, html`<form class="stack" @submit=${(event) => { event.preventDefault(); if (it.typed === it.name) { close(); void it.act(); } }}>
    <p>${bytes(it.would.freed_size)} become free. This cannot be taken back.</p>
    <ul>${it.would.revisions.map((one) => html`<li><code>${one.commit.slice(0, 10)}</code> ${one.refs.join(', ')}: ${bytes(one.size_on_disk)}${one.models.length ? html`, used by <strong>${one.models.join(', ')}</strong>` : nothing}</li>`)}</ul>
    ${it.would.revisions.some((one) => one.whole_repo) ? html`<p>It is the last revision, so the repository goes with it.</p>` : nothing}
    <label for="typed">Type <code>${it.name}</code> to confirm</label>
    <input id="typed" autocomplete="off" spellcheck="false" .value=${it.typed} @input=${(event) => { it.typed = event.target.value; changed(); }}>
    <div class="buttons start"><button class="button" data-tone="bad" type="submit" ?disabled=${it.typed !== it.name}>Delete</button>${button('Keep it', close, { tone: 'quiet' })}</div></form>`],
};
