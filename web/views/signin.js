// Signing in with a token: as the whole page when reading needs it, else as a dialog over what was refused.

import { MISSING } from '../actions.js';
import { signIn } from '../session.js';
import { changed, state } from '../store.js';
import { html, nothing } from '../vendor/lit-html.js';
import { button } from './parts.js';

const form = { token: '', busy: false, error: null };

async function submit(event, then) {
  event.preventDefault();
  if (form.busy || form.token === '') return;
  Object.assign(form, { busy: true, error: null });
  changed();
  try {
    await signIn(form.token.trim());
    form.token = '';
    then();
  } catch (error) {
    form.error = error;
  } finally {
    form.busy = false;
    changed();
  }
}

/** The fields; `refused` is why a token given before did not do. */
export function fields(refused, then, cancel) {
  const error = form.error ?? refused;
  return html`<form class="stack" @submit=${(event) => submit(event, then)}>
    <p>The service wants an access token for this. On its machine <code>modelhaul token create</code> makes one, and the admin token is in the file <code>admin-token</code> beside the database.</p>
    <label for="token">Token</label>
    <input id="token" type="password" autocomplete="current-password" spellcheck="false" .value=${form.token} aria-invalid=${error ? 'true' : nothing} aria-describedby=${error ? 'token-error' : nothing} @input=${(event) => { form.token = event.target.value; }}>
    ${error ? html`<p id="token-error" class="warn" role="alert">${error.message}${error.requestId ? ` (request ${error.requestId})` : ''}</p>` : nothing}
    <p class="muted">${state.session.known ? 'The browser keeps a cookie until you sign out.' : 'It is kept in memory, until this page is reloaded.'}</p>
    <div class="buttons start"><button class="button" data-tone="main" type="submit" ?disabled=${form.busy}>Sign in</button>${cancel ? button('Not now', cancel, { tone: 'quiet' }) : nothing}</div>
  </form>`;
}

export function gate() {
  const refused = MISSING.includes(state.blocked.code) ? null : state.blocked;
  return html`<main class="gate" id="main"><section class="card"><h1 tabindex="-1">Sign in to modelhaul</h1>${fields(refused, () => {}, null)}</section></main>`;
}
