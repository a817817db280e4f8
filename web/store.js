// What the page knows, and one rendering per animation frame when it changes.

export const state = {
  /** `loading` until the first data. */
  loaded: false,
  /** A refusal that makes the whole page useless, for example a token that is needed for reading. */
  blocked: null,
  jobs: new Map(),
  /** Files under way, by job. */
  files: new Map(),
  queue: null,
  server: null,
  truncated: false,
  link: { mode: 'connecting', lastData: 0, why: null },
  /** Live speed, one point a second: [unix seconds, bytes per second]. */
  ring: [],
  session: { known: false, role: null, sign_in_required: false },
  ready: null,
  config: null,
  pending: new Set(),
  notices: [],
  dialog: null,
  route: { name: 'queue', id: null, query: new URLSearchParams() },
};

let draw = () => {};
let asked = false;

/** Asks for a rendering at the next frame; many changes make one. */
export function changed() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    draw();
  });
}

export function onDraw(f) {
  draw = f;
}

let notices = 0;

/** Shows a message that goes by itself when it is good news. */
export function notice(tone, text, more = {}) {
  notices += 1;
  const item = { id: notices, tone, text, ...more };
  state.notices = [...state.notices.filter((old) => old.text !== text), item].slice(-3);
  announce(text);
  if (tone !== 'bad') setTimeout(() => dismiss(item.id), 6000);
  changed();
}

export function dismiss(id) {
  state.notices = state.notices.filter((item) => item.id !== id);
  changed();
}

/** Says something to screen readers. */
export function announce(text) {
  const region = document.getElementById('announcer');
  if (region) region.textContent = text;
}

/** The time on the server's clock, so that ages and waits are right on any machine. */
let skew = 0;
export const now = () => Date.now() + skew;
export function serverNow(time) {
  const at = Date.parse(time ?? '');
  if (Number.isFinite(at)) skew = at - Date.now();
}
