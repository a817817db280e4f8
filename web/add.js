// The add box: what was typed becomes a registration, its plan is looked at, then it is downloaded.

import { signIn } from './actions.js';
import { Refusal, get, optional, post, segment } from './api.js';
import { hasten } from './live.js';
import { changed, notice, state } from './store.js';

state.add = { text: '', step: 'idle', error: null, plan: null, body: null, known: false, templates: null };

const REPO = /^[A-Za-z0-9][A-Za-z0-9._-]{0,95}(?:\/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?$/;

/**
 * Reads `org/name`, `org/name@rev`, `hf://…` or a page of a hub.
 * @param {string} text @returns {{repo: string, revision: string|null}|null}
 */
export function parse(text) {
  let rest = text.trim();
  let revision = null;
  const url = /^(?:https?:\/\/[^/]+\/|hf:\/\/)(.+)$/i.exec(rest);
  if (url) {
    const [path] = url[1].split(/[?#]/);
    const page = /^(?:models\/)?([^/]+\/[^/@]+)(?:\/(?:tree|blob|resolve|raw|commits?)\/([^/]+).*)?\/?$/.exec(path);
    if (page && !/^(datasets|spaces)\//.test(path)) {
      rest = page[1];
      revision = page[2] ? decodeURIComponent(page[2]) : null;
    } else {
      rest = path;
    }
  }
  const at = rest.indexOf('@');
  if (at > 0 && revision === null) {
    revision = rest.slice(at + 1);
    rest = rest.slice(0, at);
  }
  if (!REPO.test(rest) || revision === '') return null;
  return { repo: rest, revision: revision === 'main' ? null : revision };
}

/** The registration of a repository, with or without a template. */
export function registration(repo, revision, template, variant) {
  const named = template && template.id !== 'everything';
  const id = named && template.repos.length === 1 && template.repos[0] === repo && !revision && !variant
    ? template.id
    : repo + (revision ? `@${revision.replaceAll('/', '-')}` : '') + (named ? `+${template.id}` : '') + (variant ? `+${variant}` : '');
  return {
    model_id: id,
    kind: template?.kind ?? 'generic',
    repo_id: repo,
    ...(revision ? { revision } : {}),
    template: named ? template.id : 'everything',
    ...(variant ? { variant } : {}),
  };
}

async function templates() {
  state.add.templates ??= (await get('/api/v1/templates?limit=500')).items;
  return state.add.templates;
}

async function understand(text) {
  const known = /^[A-Za-z0-9._@+-]+(\/[A-Za-z0-9._@+-]+)?$/.test(text)
    ? await optional(`/api/v1/models/${segment(text)}`)
    : null;
  if (known) return { known: true, body: known };
  const all = await templates();
  const template = all.find((one) => one.id === text && one.id !== 'everything');
  if (template) {
    if (template.repos.length !== 1) {
      const examples = template.repos.length ? ` It fits ${template.repos.slice(0, 3).join(', ')}.` : '';
      throw new Refusal(422, { detail: `The template ${text} is for more than one repository. Type the repository instead.${examples}` });
    }
    return { known: false, body: registration(template.repos[0], null, template, null) };
  }
  const wanted = parse(text);
  if (!wanted) {
    throw new Refusal(422, { detail: 'Type org/name, org/name@revision, the address of a hub page, a registered id or a template id.' });
  }
  const fits = all.find((one) => one.repos.includes(wanted.repo));
  return { known: false, body: registration(wanted.repo, wanted.revision, fits ?? null, fits?.default_variant ?? null) };
}

export async function preview(text = state.add.text.trim()) {
  if (state.add.step === 'planning' || state.add.step === 'starting') return;
  if (text === '') {
    set({ step: 'idle', error: new Refusal(422, { detail: 'Type which model you want.' }) });
    return;
  }
  set({ step: 'planning', error: null, plan: null, text });
  await attempt(async () => {
    const { known, body } = await understand(text);
    set({ known, body });
    await plan();
  });
}

async function plan() {
  const { known, body } = state.add;
  const result = await post(known ? `/api/v1/models/${segment(body.model_id)}/plan` : '/api/v1/plan', known ? undefined : body);
  set({ step: 'planned', plan: result, error: null });
}

/** Another template or variant for the same repository. */
export async function choose(templateId, variant) {
  const template = state.add.templates.find((one) => one.id === templateId) ?? null;
  const { repo_id, revision } = state.add.body;
  set({ step: 'planning', error: null, body: registration(repo_id, revision ?? null, template, variant ?? template?.default_variant ?? null) });
  await attempt(plan);
}

export async function download() {
  set({ step: 'starting', error: null });
  await attempt(async () => {
    const { known, body } = state.add;
    if (!known) await post('/api/v1/models', body);
    const started = await post(`/api/v1/models/${segment(body.model_id)}/start`);
    const here = started.status === 'completed';
    reset();
    notice('good', here ? `${body.model_id} is complete already.` : `${body.model_id} is in the queue.`);
    hasten();
  });
}

export function reset() {
  set({ text: '', step: 'idle', error: null, plan: null, body: null, known: false });
}

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    set({ step: state.add.plan ? 'planned' : 'idle', error });
    if (error.needsToken) signIn(error, () => preview());
  }
}

export function set(change) {
  Object.assign(state.add, change);
  changed();
}
