// The add box and the plan that is shown before anything is fetched.

import { choose, download, preview, reset, set } from '../add.js';
import { bytes, count } from '../format.js';
import { state } from '../store.js';
import { html, live, nothing } from '../vendor/lit-html.js';
import { button, chip, problem } from './parts.js';

export function add() {
  const { text, step, error, plan } = state.add;
  const busy = step === 'planning' || step === 'starting';
  const submit = (event) => {
    event.preventDefault();
    void preview();
  };
  return html`<section class="card add" aria-label="Add a download">
    <form @submit=${submit}>
      <label for="add">Add a model</label>
      <div class="line">
        <input id="add" name="model" autocomplete="off" autocapitalize="none" spellcheck="false" placeholder="org/name, org/name@revision, hub address, or template" .value=${live(text)}
          aria-invalid=${error ? 'true' : nothing} aria-describedby=${error ? 'add-error' : nothing}
          @input=${(event) => set({ text: event.target.value, error: null, ...(plan ? { plan: null, step: 'idle' } : {}) })}
          @keydown=${(event) => event.key === 'Escape' && reset()}>
        <button class="button" data-tone="main" type="submit" ?disabled=${busy} aria-busy=${busy ? 'true' : nothing}>${step === 'planning' ? 'Asking the hub' : 'Preview'}</button>
      </div>
    </form>
    ${error ? html`<div id="add-error">${problem(error)}</div>` : nothing}
    ${plan ? preview_(plan, busy) : nothing}
  </section>`;
}

function preview_(plan, busy) {
  const { totals, disk, gating } = plan;
  const chosen = plan.files.filter((file) => file.state !== 'skipped');
  const skipped = plan.files.length - chosen.length;
  const here = totals.bytes_to_fetch === 0;
  return html`<div class="plan">
    <p><strong>${plan.repo_id}</strong> at <code>${plan.revision}</code> <span class="muted">(${plan.commit.slice(0, 10)})</span>
      ${gating.gated ? chip('waiting', 'Gated') : nothing}${gating.private ? chip('waiting', 'Private') : nothing}</p>
    ${state.add.known ? html`<p class="muted">Registered as ${state.add.body.model_id}, template ${plan.template}.</p>` : selection(plan, busy)}
    <dl class="figures">
      <div><dt>To fetch</dt><dd>${bytes(totals.bytes_to_fetch)}</dd></div>
      <div><dt>Here already</dt><dd>${bytes(totals.bytes_here)}</dd></div>
      <div><dt>Files</dt><dd>${totals.files}${skipped ? html`<span class="muted"> of ${plan.files.length}</span>` : nothing}</dd></div>
      <div><dt>Free afterwards</dt><dd data-tone=${disk.fits ? '' : 'bad'}>${bytes(disk.free_after)}</dd></div>
    </dl>
    ${disk.fits ? nothing : html`<p class="warn">It does not fit: ${bytes(disk.needed)} are needed, ${bytes(disk.free)} are free and ${bytes(disk.floor)} of them are kept free. The job would wait for room.</p>`}
    ${gating.gated ? html`<p class="warn">Its licence must be accepted on the hub first. ${gating.token ? '' : 'The service has no token for the hub.'}</p>` : nothing}
    ${plan.warnings.filter((one) => one.code !== 'gated').map((one) => html`<p class="warn">${one.message}</p>`)}
    ${plan.notes.map((note) => html`<p class="muted">${note}</p>`)}
    <details><summary>${count(chosen.length, 'file')}</summary>
      <ul class="files">${chosen.slice(0, 500).map((file) => html`<li><span class="path" title=${file.path}>${file.path}</span><span class="muted">${file.state === 'present' ? 'here' : file.state === 'partial' ? `${bytes(file.bytes_here)} here` : ''}</span><span class="num">${bytes(file.size)}</span></li>`)}</ul>
    </details>
    <div class="buttons start">${button(here ? 'Put into place' : `Download ${bytes(totals.bytes_to_fetch)}`, () => void download(), { tone: 'main', busy })}${button('Close', reset, { tone: 'quiet' })}</div>
  </div>`;
}

/** Which files: a template, and its variant when it has several. */
function selection(plan, busy) {
  const { templates, body } = state.add;
  const chosen = templates?.find((one) => one.id === body.template);
  const fits = (templates ?? []).filter((one) => one.id !== 'everything' && (one.repos.length === 0 || one.repos.includes(plan.repo_id)));
  const rest = (templates ?? []).filter((one) => one.id !== 'everything' && !fits.includes(one));
  const option = (one) => html`<option value=${one.id} ?selected=${one.id === body.template}>${one.id}</option>`;
  return html`<div class="line selects">
    <label>Which files <select ?disabled=${busy} @change=${(event) => void choose(event.target.value, null)}>
      <option value="everything" ?selected=${body.template === 'everything'}>everything</option>
      ${fits.length ? html`<optgroup label="Made for it">${fits.map(option)}</optgroup>` : nothing}
      ${rest.length ? html`<optgroup label="Other templates">${rest.map(option)}</optgroup>` : nothing}
    </select></label>
    ${chosen?.variants.length ? html`<label>Variant <select ?disabled=${busy} @change=${(event) => void choose(body.template, event.target.value)}>${chosen.variants.map((one) => html`<option value=${one} ?selected=${one === body.variant}>${one}</option>`)}</select></label>` : nothing}
    <span class="muted">as <code>${body.model_id}</code></span>
  </div>`;
}
