// Addresses and screens: what stands in the address survives a reload and can be sent to somebody.

import { changed, state } from './store.js';

const FIXED = { '/': 'queue', '/library': 'library', '/activity': 'activity', '/settings': 'settings' };
let entered = () => {};

function read() {
  const { pathname, search } = location;
  const job = /^\/jobs\/([^/]+)$/.exec(pathname);
  const before = state.route;
  state.route = {
    name: job ? 'job' : FIXED[pathname] ?? 'missing',
    id: job ? decodeURIComponent(job[1]) : null,
    query: new URLSearchParams(search),
  };
  if (before.name !== state.route.name || before.id !== state.route.id) entered(state.route);
  changed();
}

/** Starts to follow the address. @param {(route: any) => void} enter called when a screen is entered */
export function start(enter) {
  entered = enter;
  state.route = { name: null };
  addEventListener('popstate', read);
  document.addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a[href]') : null;
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !plain || event.defaultPrevented || link.target || link.origin !== location.origin) return;
    if (!(link.pathname in FIXED) && !link.pathname.startsWith('/jobs/')) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
  read();
}

export function go(path) {
  const other = new URL(path, location.href).pathname !== location.pathname;
  history.pushState(null, '', path);
  read();
  if (other) {
    scrollTo(0, 0);
    // The new screen's heading, so that keyboard and screen reader begin there.
    requestAnimationFrame(() => requestAnimationFrame(() => document.querySelector('h1')?.focus({ preventScroll: true })));
  }
}

/** Changes one word of the address's query without a new entry in the history. */
export function setQuery(name, value) {
  const query = new URLSearchParams(state.route.query);
  if (value) query.set(name, value);
  else query.delete(name);
  const text = query.toString();
  history.replaceState(null, '', location.pathname + (text ? `?${text}` : ''));
  read();
}
