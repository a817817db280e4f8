// Bytes per second over time, as an area; the numbers are in a table for those who cannot see it.

import { limit as short, rate } from '../format.js';
import { html, nothing, svg } from '../vendor/lit-html.js';

const WIDTH = 800;
const HEIGHT = 220;
const LEFT = 74;
const BOTTOM = 24;
const TOP = 18;

const STEPS = [60, 600, 14_400];

/** Round moments inside the span, so that the clock below them is exact. */
function moments(from, to) {
  const step = STEPS.find((one) => (to - from) / one <= 6.5) ?? 14_400;
  const first = Math.ceil(from / step) * step;
  return Array.from({ length: Math.max(0, Math.floor((to - first) / step) + 1) }, (_, n) => first + n * step);
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

/** A round number at or above `value`. */
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1000)));
  return [1, 2, 4, 5, 10].map((step) => step * power).find((step) => step >= value) ?? 10 * power;
}

/**
 * @param {Array<[number, number]>} points unix seconds and bytes per second, oldest first
 * @param {{from: number, to: number, limit: number|null, title: string}} view
 */
export function chart(points, { from, to, limit, title }) {
  const top = ceiling(Math.max(...points.map(([, value]) => value), limit ?? 0, 1000));
  const x = (t) => LEFT + ((WIDTH - LEFT) * (t - from)) / (to - from);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - Math.min(Math.max(value, 0), top) / top);
  const inside = points.filter(([t]) => t >= from && t <= to);
  const line = inside.map(([t, value], at) => `${at ? 'L' : 'M'}${x(t).toFixed(1)} ${y(value).toFixed(1)}`).join('');
  const area = inside.length ? `${line}L${x(inside.at(-1)[0]).toFixed(1)} ${y(0)}L${x(inside[0][0]).toFixed(1)} ${y(0)}Z` : '';
  const most = inside.reduce((max, [, value]) => Math.max(max, value), 0);
  const mean = inside.length ? inside.reduce((sum, [, value]) => sum + value, 0) / inside.length : 0;
  return html`<figure class="chart">
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="chart-title chart-desc">
      <title id="chart-title">${title}</title>
      <desc id="chart-desc">Highest ${rate(most)}, average ${rate(mean)}.</desc>
      ${[0, 0.5, 1].map((share) => svg`<line class="grid" x1=${LEFT} x2=${WIDTH} y1=${y(top * share)} y2=${y(top * share)}></line><text x=${LEFT - 8} y=${y(top * share) + 4} text-anchor="end">${share ? rate(top * share) : '0'}</text>`)}
      ${moments(from, to).map((t) => svg`<text x=${x(t)} y=${HEIGHT - 6} text-anchor=${x(t) < LEFT + 18 ? 'start' : x(t) > WIDTH - 18 ? 'end' : 'middle'}>${CLOCK.format(new Date(t * 1000))}</text>`)}
      ${area ? svg`<path class="area" d=${area}></path><path class="curve" d=${line}></path>` : nothing}
      ${limit !== null ? svg`<line class="limit" x1=${LEFT} x2=${WIDTH} y1=${y(limit)} y2=${y(limit)}></line><text class="limit-text" x=${WIDTH} y=${y(limit) - 5} text-anchor="end">limit ${short(limit)}</text>` : nothing}
    </svg>
    <figcaption class="muted">Highest ${rate(most)}, average ${rate(mean)}</figcaption>
    <details><summary>As a table</summary><div class="scroll" tabindex="0" role="region" aria-label="${title} as a table"><table><thead><tr><th scope="col">When</th><th scope="col">Speed</th></tr></thead>
      <tbody>${thin(inside, 60).toReversed().map(([t, value]) => html`<tr><td class="num">${new Date(t * 1000).toLocaleTimeString()}</td><td class="num">${rate(value)}</td></tr>`)}</tbody></table></div></details>
  </figure>`;
}

/** At most `most` points, evenly taken. */
function thin(points, most) {
  const step = Math.max(1, Math.ceil(points.length / most));
  return points.filter((_, at) => (points.length - 1 - at) % step === 0);
}
