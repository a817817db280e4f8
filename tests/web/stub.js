// A stand-in for the service that shows what is hard to bring about: each scene is a set of answers and a stream.
// It sends no content policy on purpose: that texts stay texts must not depend on it.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';

const WEB = new URL('../../web/', import.meta.url);
const TYPES = { '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.html': 'text/html' };

/** @param {() => any} scene the scene of the moment: {answers: {'GET /path': body | [status, body] | null}, stream: (send, close) => void} */
export async function serve(scene) {
  const streams = new Set();
  let mute = false;
  const server = createServer(async (request, response) => {
    const path = request.url.split('?')[0];
    const file = /^\/ui\/hash\/([\w./-]+)$/.exec(path)?.[1] ?? (path.startsWith('/api') || path.endsWith('z') ? null : 'index.html');
    if (file && !file.includes('..')) {
      const body = await readFile(new URL(file, WEB)).catch(() => null);
      response.writeHead(body ? 200 : 404, { 'Content-Type': TYPES[extname(file)] ?? 'text/plain', 'Cache-Control': 'no-store' }).end(body ?? '');
      return;
    }
    const { answers, stream } = scene();
    if (path === '/api/v1/events' && stream) {
      response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
      const send = (event, data, id) => response.write(`event: ${event}\n${id ? `id: ${id}\n` : ''}data: ${JSON.stringify(data)}\n\n`);
      const end = stream(send, () => response.end());
      streams.add(response);
      // Like the service, which speaks each second.
      const alive = setInterval(() => { if (!mute) send('throughput', { t: 0, bytes_per_second: 0 }); }, 1000);
      response.on('close', () => { clearInterval(alive); streams.delete(response); if (typeof end === 'function') end(); });
      return;
    }
    const answer = answers[`${request.method} ${path}`];
    if (answer === null) return; // never answered
    const [status, body] = Array.isArray(answer) ? answer : answer === undefined ? [404, { code: 'not_found', title: 'No such address', detail: 'there is nothing at this address', request_id: '1-1' }] : [200, answer];
    response.writeHead(status, { 'Content-Type': status < 400 ? 'application/json' : 'application/problem+json' }).end(JSON.stringify(body));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `http://127.0.0.1:${server.address().port}`,
    /** The stream stays open and says nothing more. */
    hush: (on) => { mute = on; },
    drop: () => streams.forEach((one) => one.destroy()),
    close: () => { server.closeAllConnections(); server.close(); },
  };
}

const T0 = Date.parse('2026-11-22T10:00:00Z');
export const at = (seconds) => new Date(T0 + seconds * 1000).toISOString();

/** A row of the stream. */
export function row(n, modelId, state, more = {}) {
  const total = more.total ?? 4_000_000_000 + n * 37_000_000;
  const speed = more.speed ?? 88_400_000;
  const done = more.done ?? (state === 'completed' ? total : Math.round(total * ((n * 37) % 90) / 100));
  return {
    model_id: modelId, kind: 'generic', job_kind: more.kind ?? 'download', status: state === 'completed' ? 'completed' : 'downloading', state,
    phase: state === 'running' ? 'downloading' : null, waiting: more.waiting ?? null, queue_position: more.position ?? null,
    job_id: `019ab2c0-0000-7000-8000-${String(n).padStart(12, '0')}`, attempt: more.attempt ?? (state === 'queued' ? 0 : 1),
    progress: { current_file: null, files_downloaded: 2, files_total: 9, bytes_downloaded: done, bytes_total: total, bytes_reused: 0,
      percent: (100 * done) / total, speed_bytes_per_second: state === 'running' ? speed : 0, eta_seconds: state === 'running' ? Math.ceil((total - done) / speed) : null, last_byte_at: at(0), estimated: false },
    timestamps: { enqueued_at: at(-900 + n), started_at: at(-600), updated_at: at(0), finished_at: ['completed', 'failed', 'cancelled'].includes(state) ? at(-60 * n) : null },
    error: more.error ?? null, cache: { state: 'partial', exists: true, complete: false, verified: false, commit: null, path: null, missing: [], corrupt: [] },
  };
}

/** A snapshot of the stream; the clock of the service stands at ten o'clock. */
export function snapshot(jobs, { queue = {}, instance = 'a1b2' } = {}) {
  const runs = jobs.find((job) => job.state === 'running');
  return {
    server: { version: '0.1.0', instance, started_at: at(-86_400), now: at(0) },
    queue: { queue_size: jobs.filter((job) => job.state === 'queued').length, running: Boolean(runs), currently_downloading: runs?.model_id ?? null, paused: false, downloads_disabled: false, queue: [], lease: { token: 7, holder: 'host:4711:a1b2' }, bandwidth_limit: null, limited_by: null, ...queue },
    jobs, truncated: false,
  };
}

export const READY = { database: true, cache: true, role: 'holder', free_bytes: 412_000_000_000, reasons: [], ready: true };
export const SETTINGS = [['database', '/srv/modelhaul/modelhaul.db', 'file'], ['cache_dir', '/srv/hf/hub', 'environment HF_HOME'], ['endpoint', 'https://huggingface.co', 'default'], ['token', '(set)', 'file'], ['max_connections', 16, 'default'], ['bandwidth_limit', null, 'default'], ['disk_floor', '256 MiB', 'default'], ['listen', '0.0.0.0:8642', 'flag']].map(([name, value, origin]) => ({ name, value, origin }));
export const config = (more = {}) => ({ settings: SETTINGS, version: '0.1.0', database: '/srv/modelhaul/modelhaul.db', cache_dir: '/srv/hf/hub', endpoint: 'https://huggingface.co', offline: false, ...more });
export const session = (role, more = {}) => ({ role, name: role === 'none' ? null : 'eve', signed_in: role !== 'none', sign_in_required: true, server: { version: '0.1.0', instance: 'a1b2' }, ...more });
