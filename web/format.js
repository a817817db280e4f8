// Numbers and times as people read them. Sizes are decimal, as the hub shows them.

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** @param {number|null|undefined} n bytes */
export function bytes(n) {
  if (n === null || n === undefined || !Number.isFinite(n)) return '–';
  let unit = 0;
  let value = Math.max(0, n);
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** @param {number|null|undefined} n bytes per second */
export const rate = (n) => `${bytes(n ?? 0)}/s`;

/** A rate that somebody has set, as short as it can be written. @param {number} n bytes per second */
export const limit = (n) => rate(n).replace(/(\.\d*?)0+(?= )/, '$1').replace('. ', ' ');

/** @param {number|null|undefined} n from 0 to 100 */
export const percent = (n) => (n === null || n === undefined ? '' : `${n >= 100 ? 100 : n.toFixed(1)}%`);

/** A length of time with its two largest units. @param {number|null|undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return '–';
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s < 600 && s % 60 ? ` ${s % 60} s` : ''}`;
  const two = (large, one, small, other) => `${large} ${one}${small ? ` ${small} ${other}` : ''}`;
  if (s < 86400) return two(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'min');
  return two(Math.floor(s / 86400), 'd', Math.floor((s % 86400) / 3600), 'h');
}

/** @param {string|null|undefined} time @param {number} now milliseconds */
export function ago(time, now) {
  if (!time) return '–';
  const seconds = (now - Date.parse(time)) / 1000;
  return seconds < 5 ? 'just now' : `${duration(seconds)} ago`;
}

/** @param {string|null|undefined} time @param {number} now milliseconds */
export function until(time, now) {
  const seconds = (Date.parse(time ?? '') - now) / 1000;
  return seconds > 0 ? `in ${duration(Math.ceil(seconds))}` : 'now';
}

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** @param {string|null|undefined} time */
export const moment = (time) => (time ? DATE.format(new Date(time)) : '–');

/** @param {number} n @param {string} one @param {string} [many] */
export const count = (n, one, many = `${one}s`) => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;

/** A limit as people write it: `5 MB/s`, `500k`, `1.5 MiB`, `5000000`; null when it cannot be read. @param {string} text */
export function parseRate(text) {
  const match = /^\s*([0-9]+(?:\.[0-9]+)?)\s*(k|m|g|t)?(i)?b?(?:\/s|ps)?\s*$/i.exec(text);
  if (!match) return null;
  const power = match[2] ? 'kmgt'.indexOf(match[2].toLowerCase()) + 1 : 0;
  const value = Math.round(Number(match[1]) * (match[3] ? 1024 : 1000) ** power);
  return value > 0 && Number.isSafeInteger(value) ? value : null;
}
