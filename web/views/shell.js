// The frame: navigation, what holds the queue, messages, and the screen of the address.

import { bytes, duration, limit as short, rate, until } from '../format.js';
import { mayAdmin, pauseQueue } from '../actions.js';
import { reason } from '../job.js';
import { connect } from '../live.js';
import { signedIn, signOut } from '../session.js';
import { changed, dismiss, now, state } from '../store.js';
import { html, nothing, repeat } from '../vendor/lit-html.js';
import { activity } from './activity.js';
import { dialog } from './dialog.js';
import { job } from './job.js';
import { library } from './library.js';
import { button, chip, empty, heading, sentence, skeleton } from './parts.js';
import { queue } from './queue.js';
import { settings } from './settings.js';
import { gate } from './signin.js';

const NAV = [['/', 'queue', 'Queue'], ['/library', 'library', 'Library'], ['/activity', 'activity', 'Activity'], ['/settings', 'settings', 'Settings']];
const SCREENS = { queue, job, library, activity, settings, missing };

export function shell() {
  if (state.blocked?.needsToken) return html`${gate()}${notices()}`;
  const { name } = state.route;
  return html`
    <a class="skip" href="#main">Skip to content</a>
    <header class="side">
      <a class="brand" href="/"><svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7"/><path d="M16 6v13m0 0-5.5-5.5M16 19l5.5-5.5M7 25h18"/></svg>modelhaul</a>
      <nav aria-label="Screens">${NAV.map(([path, screen, title]) => html`<a href=${path} aria-current=${name === screen || (name === 'job' && screen === 'queue') ? 'page' : nothing}>${title}${screen === 'queue' ? waiting() : nothing}</a>`)}</nav>
      <div class="foot">
        ${connection()}
        ${signedIn() ? button('Sign out', () => void signOut(), { tone: 'quiet' }) : nothing}
        ${theme()}
      </div>
    </header>
    <div class="body" ?data-stale=${state.link.mode === 'lost'}>
      ${strip()}
      ${banners()}
      <main id="main" tabindex="-1">${state.loaded || state.link.mode !== 'lost' ? (state.loaded ? (SCREENS[name] ?? missing)() : html`${heading(NAV.find(([, screen]) => screen === name)?.[2] ?? 'Job')}${skeleton(4)}`) : unreachable()}</main>
    </div>
    ${notices()}
    ${dialog()}`;
}

function missing() {
  return html`${heading('Not found')}${empty('There is nothing at this address', 'It may be misspelt, or the job is too old.', html`<p><a href="/">Go to the queue</a></p>`)}`;
}

const unreachable = () => html`${heading('Not connected')}${empty('The service does not answer', 'This page asks again by itself. Is it running? Start it with:', html`<pre class="block"><code>modelhaul serve</code></pre>`)}`;

function waiting() {
  const n = state.queue?.queue_size ?? 0;
  return n > 0 ? html` <span class="badge" aria-label="${n} in the queue">${n}</span>` : nothing;
}

function connection() {
  const { mode } = state.link;
  const word = { stream: 'Live', poll: 'Every 5 s', lost: 'Disconnected', connecting: 'Connecting' }[mode];
  const title = { stream: 'The service sends changes as they happen', poll: 'This page asks every 5 s', lost: 'No data', connecting: '' }[mode];
  return html`<span class="link" data-mode=${mode} title=${title}>${word}</span>`;
}

function theme() {
  const current = document.documentElement.dataset.theme ?? 'system';
  const next = { system: 'light', light: 'dark', dark: 'system' }[current];
  const set = () => {
    if (next === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      if (next === 'system') localStorage.removeItem('theme');
      else localStorage.setItem('theme', next);
    } catch {
      // Without storage the choice holds until the page is left.
    }
    changed();
  };
  return button(html`<span class="wide">Theme: </span>${current}`, set, { tone: 'quiet', label: `Theme: ${current}. Change to ${next}` });
}

/** One line over every screen: what the service does, how fast, how long, and the pause. */
function strip() {
  const { queue: q } = state;
  if (!q) return html`<div class="strip"></div>`;
  const active = [...state.jobs.values()].filter((one) => ['running', 'queued', 'waiting'].includes(one.state));
  const runs = active.find((one) => one.state === 'running');
  const speed = runs?.progress.speed_bytes_per_second ?? 0;
  const left = active.reduce((sum, one) => sum + Math.max(0, (one.progress.bytes_total ?? 0) - one.progress.bytes_downloaded), 0);
  const word = q.paused ? ['paused', 'Paused'] : runs ? ['running', runs.kind === 'verify' ? 'Verifying' : 'Downloading'] : active.length ? ['waiting', 'Waiting'] : ['idle', 'Idle'];
  const limit = q.bandwidth_limit ?? null;
  return html`<section class="strip" aria-label="Queue state">
    ${chip(word[0], word[1])}
    <span class="figure">${rate(speed)}</span>
    ${left > 0 ? html`<span class="muted">${bytes(left)} to go${speed > 0 ? `, ${duration(left / speed)}` : ''}</span>` : nothing}
    ${limit !== null ? chip('waiting', limit === 0 ? 'Standstill' : `Limited to ${short(limit)}`) : nothing}
    ${state.session.role === 'viewer' ? chip('idle', 'Read-only') : nothing}
    <span class="push"></span>
    ${room()}
    ${mayAdmin() ? button(q.paused ? 'Resume queue' : 'Pause queue', () => pauseQueue(!q.paused), { busy: state.pending.has('queue') }) : nothing}
  </section>`;
}

/** Free space where the cache is, looked at every half minute. */
function room() {
  const free = state.ready?.free_bytes ?? null;
  return free === null ? nothing : html`<span class="muted" title="On the disk of the cache, within the last 30 s">${bytes(free)} free</span>`;
}

const banner = (tone, title, text, more = nothing) => html`<div class="banner" data-tone=${tone}><div><strong>${title}</strong> ${text}</div>${more}</div>`;

/** Everything that holds the queue or makes the picture old, said once, at the top. */
function banners() {
  const { link, queue: q } = state;
  const list = [];
  if (link.mode === 'lost') {
    const age = link.lastData ? `Last data ${duration((Date.now() - link.lastData) / 1000)} old. ` : '';
    list.push(banner('bad', 'Connection lost.', `${age}Trying again: ${link.why}.`, button('Retry now', connect)));
  }
  if (q?.paused) list.push(banner('info', 'The queue is paused.', 'Nothing starts until it is resumed.'));
  if (q?.limited_by) list.push(banner('info', q.limited_by.text, q.limited_by.until ? `Ends ${until(q.limited_by.until, now())}.` : ''));
  if (q?.downloads_disabled) list.push(banner('warn', 'Downloads are disabled.', html`<code>DISABLE_MODEL_DOWNLOADS</code> is set for the service.`));
  if (state.config?.offline) list.push(banner('warn', 'Offline mode.', html`<code>HF_HUB_OFFLINE</code> is set: only what is in the cache already can be used.`));
  if (state.ready?.role === 'standby') list.push(banner('info', 'Stand-by.', `Another process works on this database${q?.lease?.holder ? ` (${q.lease.holder})` : ''}. This one takes over when it ends; buttons work as usual.`));
  const full = [...state.jobs.values()].find((one) => one.waiting?.reason === 'disk_full');
  if (full) list.push(banner('bad', 'The disk is full.', sentence(full.error?.message ?? reason('disk_full')), html`<a class="button" href="/library">Free space</a>`));
  for (const text of state.ready?.ready === false ? state.ready.reasons ?? [] : []) list.push(banner('bad', 'Not ready.', sentence(text)));
  return html`<div class="banners" role="status">${list}</div>`;
}

function notices() {
  return html`<aside class="notices" aria-label="Messages">${repeat(state.notices, (item) => item.id, (item) => html`<div class="notice" data-tone=${item.tone}>
    <div><p>${sentence(item.text)}</p>${item.remedy ? html`<p>${sentence(item.remedy)}</p>` : nothing}${item.requestId ? html`<p class="muted">request <code>${item.requestId}</code></p>` : nothing}</div>
    ${button('Dismiss', () => dismiss(item.id), { tone: 'quiet' })}</div>`)}</aside>`;
}
