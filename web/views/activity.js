// How fast it went: five minutes, an hour, a day.

import { load } from '../pages.js';
import { setQuery } from '../router.js';
import { now, state } from '../store.js';
import { html, nothing } from '../vendor/lit-html.js';
import { chart } from './chart.js';
import { heading, problem, skeleton } from './parts.js';

const RANGES = { '5m': ['5 minutes', 300], '1h': ['1 hour', 3600], '24h': ['24 hours', 86_400] };

export function activity() {
  const asked = state.route.query.get('range');
  const range = asked in RANGES ? asked : '5m';
  const { throughput, error, loading } = state.page;
  const kept = throughput !== null && throughput !== undefined;
  const choose = (name) => {
    setQuery('range', name === '5m' ? '' : name);
    void load();
  };
  const tabs = html`<span class="push"></span><div class="filters tight" role="group" aria-label="Time span">${Object.entries(RANGES).filter(([name]) => kept || name === '5m').map(([name, [title]]) => html`<button type="button" class="filter" aria-pressed=${String(name === range)} @click=${() => choose(name)}>${title}</button>`)}</div>`;
  if (error) return html`${heading('Activity', tabs)}${problem(error, () => void load())}`;
  if (loading) return html`${heading('Activity', tabs)}${skeleton(6)}`;
  const [title, seconds] = RANGES[kept ? range : '5m'];
  const past = (throughput?.points ?? []).map((point) => [point.t, point.bytes_per_second]);
  const since = past.at(-1)?.[0] ?? 0;
  // What the service kept, then what came since.
  const live = range === '5m' ? state.ring.filter(([t]) => t > since) : [];
  const to = now() / 1000;
  return html`${heading('Activity', tabs)}
    <section class="card" aria-label="Throughput">
      ${chart([...past, ...live], { from: to - seconds, to, limit: throughput?.bandwidth_limit ?? state.queue?.bandwidth_limit ?? null, title: `Throughput of the last ${title}` })}
      ${kept ? nothing : html`<p class="muted">This service keeps no history: the curve begins when this page was opened.</p>`}
    </section>`;
}
