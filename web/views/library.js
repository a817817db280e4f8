// The library: what lies in the cache, whoever put it there.

import { act, copy, mayAdmin, mayWrite, verify } from '../actions.js';
import { call, post, segment } from '../api.js';
import { ago, bytes, count, moment } from '../format.js';
import { load } from '../pages.js';
import { setQuery } from '../router.js';
import { changed, now, state } from '../store.js';
import { html, nothing, repeat } from '../vendor/lit-html.js';
import { button, chip, empty, heading, problem, skeleton } from './parts.js';

export function library() {
  const { report, error } = state.page;
  if (error && !report) return html`${heading('Library')}${problem(error, () => void load())}`;
  if (!report) return html`${heading('Library')}${skeleton(5)}`;
  const text = (state.route.query.get('q') ?? '').toLowerCase();
  const shown = report.repos.filter((repo) => repo.repo_id.toLowerCase().includes(text));
  const all = () => act('verify-all', () => post('/api/v1/cache/verify', {}), 'Every registered model is queued for verification.');
  return html`
    ${heading('Library', html`<span class="push"></span><div class="buttons">${mayAdmin() && report.repos.length ? button('Verify all', all, { busy: state.pending.has('verify-all') }) : nothing}${button('Look again', () => void load(), { tone: 'quiet' })}</div>`)}
    <dl class="figures">
      <div><dt>On disk</dt><dd>${bytes(report.size_on_disk)}</dd></div>
      <div><dt>Unfinished</dt><dd>${bytes(report.partial_size)}</dd></div>
      <div><dt>Repositories</dt><dd>${report.repos.length}</dd></div>
      <div class="path"><dt>Folder</dt><dd><code>${report.cache_dir}</code></dd></div>
    </dl>
    ${report.warnings.length ? html`<details class="banner" data-tone="warn"><summary>${count(report.warnings.length, 'thing')} in the folder ${report.warnings.length === 1 ? 'does' : 'do'} not look like a cache</summary><ul>${report.warnings.map((one) => html`<li>${one}</li>`)}</ul></details>` : nothing}
    ${report.repos.length === 0 ? empty('The cache is empty', 'What any program puts into the Hugging Face cache appears here.', html`<p><a href="/">Download a model</a></p>`) : html`
      <div class="filters"><span></span><input type="search" aria-label="Filter by repository" placeholder="Filter by repository" .value=${state.route.query.get('q') ?? ''} @input=${(event) => setQuery('q', event.target.value)}></div>
      ${shown.length ? repeat(shown, (repo) => `${repo.repo_type}/${repo.repo_id}`, repository) : empty('No repository fits the filter', 'Others are hidden.', button('Show all', () => setQuery('q', '')))}`}`;
}

function repository(repo) {
  const partial = repo.partial.reduce((sum, one) => sum + one.size, 0);
  return html`<section class="card repo" aria-label=${repo.repo_id}>
    <div class="title"><h2>${repo.repo_id}</h2>${repo.repo_type === 'model' ? nothing : chip('idle', repo.repo_type)}<span class="push"></span><strong class="num">${bytes(repo.size_on_disk)}</strong></div>
    <p class="muted">${repo.files ? count(repo.files, 'file') : 'No finished file'} · last used <span title=${moment(repo.last_accessed)}>${ago(repo.last_accessed, now())}</span>${partial ? html` · <span class="warn">${bytes(partial)} unfinished</span>` : nothing}${repo.unlinked_size ? html` · ${bytes(repo.unlinked_size)} not in any revision` : nothing}</p>
    ${repo.revisions.length ? html`<ul class="revisions">${repeat(repo.revisions, (one) => one.commit, (one) => revision(repo, one))}</ul>` : nothing}
  </section>`;
}

function revision(repo, one) {
  const whole = one.complete === null ? chip('idle', 'Not checked') : one.complete ? chip('completed', 'Complete') : chip('failed', 'Incomplete');
  const ours = one.models.length > 0;
  return html`<li>
    <div>${one.refs.map((ref) => html`<code>${ref}</code> `)}<code class="muted" title=${one.commit}>${one.commit.slice(0, 10)}</code></div>
    <div class="chips">${whole}${one.complete ? (one.verified ? chip('completed', 'Verified') : chip('idle', 'Not verified')) : nothing}${one.dangling ? chip('failed', count(one.dangling, 'dangling link')) : nothing}</div>
    <div class="muted">${ours ? html`For ${one.models.join(', ')}` : 'Put there by another program'}</div>
    <div class="num">${bytes(one.size_on_disk)}</div>
    <div class="buttons">
      ${button('Copy path', () => copy(one.path, 'Path'), { tone: 'quiet', label: `Copy path of ${repo.repo_id} ${one.commit.slice(0, 10)}` })}
      ${mayWrite() && ours ? html`${button('Verify', () => verify(one.models[0], false), { tone: 'quiet', label: `Verify ${one.models[0]}`, busy: state.pending.has(`job:${one.models[0]}`) })}${button('Repair', () => verify(one.models[0], true), { tone: 'quiet', label: `Repair ${one.models[0]}` })}` : nothing}
      ${mayAdmin() && repo.repo_type === 'model' ? button('Delete', () => void askRemove(repo, one), { tone: 'bad', label: `Delete ${repo.repo_id} ${one.commit.slice(0, 10)}`, busy: state.pending.has(`remove:${one.commit}`) }) : nothing}
    </div></li>`;
}

/** Asks the service what would go, shows it, and wants the name typed. */
async function askRemove(repo, one) {
  const path = `/api/v1/cache/${segment(repo.repo_id)}/${segment(one.commit)}`;
  const key = `remove:${one.commit}`;
  await act(key, async () => {
    const would = await call('DELETE', `${path}?dry_run=true`);
    state.dialog = {
      kind: 'remove', name: repo.repo_id, would, typed: '',
      act: () => act(key, async () => {
        const removal = await call('DELETE', path);
        await load();
        return removal;
      }, `${repo.repo_id} was deleted; ${bytes(would.freed_size)} are free again.`),
    };
    changed();
  });
}
