// Every state that is hard to bring about, each as a scene: how it looks, what axe says, and that texts stay texts.

import assert from 'node:assert/strict';
import { look, open } from './browser.js';
import { READY, at, config, row, serve, session, snapshot } from './stub.js';

const EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';

export async function states(context, { shots }) {
  let scene = {};
  const stub = await serve(() => scene);
  const pages = (extra = {}) => ({ 'GET /api/v1/session': session('admin'), 'GET /readyz': READY, 'GET /healthz': { status: 'ok', version: '0.1.0' }, 'GET /api/v1/config': config(), 'GET /api/v1/templates': { items: [], next: null, problems: [] }, ...extra });
  const still = (jobs, more) => (send) => send('snapshot', snapshot(jobs, more), 'e1:1');
  const show = async (name, path, next, wait, options) => {
    scene = next;
    const page = await open(context, stub.address + path);
    await page.getByText(wait).first().waitFor();
    await look(page, shots, name, options);
    assert.equal(await page.evaluate(() => window.hacked), undefined, `${name} ran a text`);
    page.healthy();
    return page;
  };
  const done = (page) => page.close();

  // The picture of the README: everything at once, live.
  const jobs = [
    row(1, 'Qwen/Qwen3-8B', 'running', { total: 16_400_000_000, done: 9_730_000_000 }),
    row(2, 'SmilingWolf/wd-vit-tagger-v3', 'queued', { position: 1, total: 378_536_192, done: 0 }),
    row(3, 'RedRocket/JointTaggerProject', 'queued', { position: 2, total: 1_712_000_000, done: 0 }),
    row(4, 'black-forest-labs/FLUX.1-schnell', 'waiting', { done: 12_000_000_000, total: 33_700_000_000, attempt: 3, waiting: { reason: 'rate_limited', until: at(41) }, error: { code: 'rate_limited', message: 'huggingface.co asked for a pause of 41 s', remedy: null } }),
    row(5, 'Ultralytics/YOLO11@yolo11n', 'paused', { total: 5_600_000, done: 2_100_000 }),
    row(6, 'google/gemma-3-4b-it', 'failed', { total: 8_600_000_000, done: 0, error: { code: 'gated', message: 'the licence of google/gemma-3-4b-it is not accepted', remedy: 'accept it at https://huggingface.co/google/gemma-3-4b-it, then retry' } }),
    row(7, 'openai/whisper-large-v3', 'completed', { total: 3_100_000_000 }),
    row(8, 'stabilityai/sdxl-turbo', 'completed', { total: 6_940_000_000 }),
    row(9, 'bigscience/bloom', 'cancelled', { total: 329_000_000_000, done: 41_000_000_000 }),
  ];
  const files = [1, 2, 3].map((n) => ({ path: `model-0000${n + 1}-of-00005.safetensors`, size: 3_996_250_744, received: 1_070_000_000 * n }));
  const full = (send) => {
    send('snapshot', snapshot(jobs), 'e1:1');
    send('progress', { jobs: [{ job_id: jobs[0].job_id, model_id: jobs[0].model_id, phase: 'downloading', progress: jobs[0].progress, files }] });
  };
  const live = { answers: pages(), stream: full };
  let page = await show('queue', '/', live, 'Live', { height: 900 });
  await look(page, shots, 'queue-small', { width: 360, height: 780 });
  // Keyboard: "/" goes to the box, and the focus is visible on what Tab reaches.
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'add');
  // The theme is kept over a reload.
  await page.getByRole('button', { name: /^Theme/ }).click();
  await page.getByRole('button', { name: /^Theme: light/ }).click();
  await page.reload();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
  await page.getByRole('button', { name: /^Theme: dark/ }).click();
  // A stream that is open and says nothing, as behind a network that is gone: the page asks instead, and listens again.
  scene = { ...live, answers: { ...live.answers, 'GET /api/v1/queue': snapshot(jobs).queue, 'GET /api/v1/jobs': { items: [], next: null } } };
  stub.hush(true);
  await page.getByText('Every 5 s', { exact: true }).waitFor();
  stub.hush(false);
  await page.reload();
  await page.getByText('Live', { exact: true }).waitFor();
  // A stream that breaks and never comes back: polling finds nobody, and says how old the picture is.
  scene = { answers: {}, stream: null };
  stub.drop();
  await page.getByText('Connection lost.').waitFor();
  // Another process over the same database: told, and shown anew.
  scene = { answers: pages({ 'GET /api/v1/session': session('admin', { server: { version: '0.1.0', instance: 'other' } }) }), stream: still(jobs.slice(0, 2), { instance: 'other' }) };
  await page.getByText('The service was restarted.').waitFor();
  await look(page, shots, 'server-restarted');
  await done(page);

  const full_disk = [row(1, 'big/model', 'waiting', { total: 18_500_000_000, done: 2_100_000_000, waiting: { reason: 'disk_full', until: at(60) }, error: { code: 'disk_full', message: '16.4 GB are needed and 2.1 GB are free on /srv/hf', remedy: 'free some space' } })];
  await done(await show('disk-full', '/', { answers: pages({ 'GET /readyz': { ...READY, free_bytes: 2_100_000_000 } }), stream: still(full_disk) }, 'The disk is full.'));
  await done(await show('offline', '/', { answers: pages({ 'GET /api/v1/config': config({ offline: true }) }), stream: still(jobs.slice(6)) }, 'Offline mode.'));
  await done(await show('stand-by', '/', { answers: pages({ 'GET /readyz': { ...READY, role: 'standby' } }), stream: still(jobs.slice(0, 4)) }, 'Stand-by.'));
  await done(await show('read-only', '/', { answers: pages({ 'GET /api/v1/session': session('viewer') }), stream: still(jobs) }, 'Read-only'));
  await done(await show('paused', '/', { answers: pages(), stream: still(jobs.slice(1), { queue: { paused: true } }) }, 'The queue is paused.'));
  const window_ = { bandwidth_limit: 5_000_000, limited_by: { source: 'window', until: at(3600), text: 'Limited to 5 MB/s on weekdays from 08:00 to 18:00.' } };
  const slow = row(1, 'Qwen/Qwen3-8B', 'running', { total: 16_400_000_000, done: 9_730_000_000, speed: 4_980_000 });
  await done(await show('limited', '/', { answers: pages(), stream: still([slow, ...jobs.slice(1)], { queue: window_ }) }, 'Ends in 1 h'));
  // What many have in common is done for all of them at once.
  const failed = [1, 2, 3].map((n) => row(n, `org/failed-${n}`, 'failed', { error: { code: 'server_error', message: 'huggingface.co answered 502', remedy: 'retry later; status.huggingface.co says whether it is known' } }));
  scene = { answers: pages(), stream: still(failed) };
  page = await open(context, `${stub.address}/?state=failed`);
  const asked = [];
  page.on('request', (request) => { if (request.method() === 'POST') asked.push(new URL(request.url()).pathname); });
  await page.getByRole('button', { name: 'Retry all (3)' }).waitFor();
  await look(page, shots, 'queue-all-failed');
  await page.getByRole('button', { name: 'Retry all (3)' }).click();
  await page.getByText('there is nothing at this address', { exact: false }).first().waitFor();
  assert.deepEqual(asked.sort(), [1, 2, 3].map((n) => `/api/v1/models/org%2Ffailed-${n}/retry`));
  await done(page);
  await done(await show('loading', '/', { answers: { ...pages(), 'GET /api/v1/queue': null, 'GET /api/v1/jobs': null }, stream: null }, 'Connecting'));
  await done(await show('server-error', '/library', { answers: pages({ 'GET /api/v1/cache': [500, { code: 'internal', title: 'A defect', detail: 'the cache cannot be read', request_id: '9f2c41aa-000007', remedy: 'the log has more under this request' }] }), stream: still(jobs) }, '9f2c41aa-000007'));
  await done(await show('not-found', '/jobs/none', { answers: pages({ 'GET /api/v1/jobs/none': [404, { code: 'unknown_job', title: 'No such job', detail: 'there is no such job', request_id: '1-2' }] }), stream: still(jobs) }, 'there is no such job'));
  const locked = [401, { code: 'admin_token_required', title: 'A token is needed', detail: 'this address needs a token', request_id: '1-3' }];
  await done(await show('sign-in', '/', { answers: { 'GET /api/v1/session': session('none'), 'GET /api/v1/queue': locked, 'GET /api/v1/jobs': locked }, stream: null }, 'Sign in to modelhaul'));
  const kept = { range: '5m', step_seconds: 5, bandwidth_limit: 100_000_000, points: Array.from({ length: 60 }, (_, n) => ({ t: Date.parse(at(0)) / 1000 - 300 + n * 5, bytes_per_second: Math.round(6e7 + 3e7 * Math.sin(n / 6) - (n > 24 && n < 32 ? 2e7 : 0)) })) };
  await done(await show('activity', '/activity', { answers: pages({ 'GET /api/v1/throughput': kept }), stream: still(jobs) }, 'limit 100 MB/s'));
  await done(await show('settings-full', '/settings', { answers: pages(), stream: still(jobs) }, 'max_connections', { full: true }));

  const revision = (commit, refs, size, more) => ({ commit: commit.repeat(20), path: `/srv/hf/hub/${commit}`, refs, size_on_disk: size, files: 9, dangling: 0, last_modified: at(-3600), models: [], complete: null, verified: null, ...more });
  const cached = (repo_id, size, used, revisions, more) => ({ repo_type: 'model', repo_id, path: '/srv/hf/hub', size_on_disk: size, files: 9 * revisions.length, unlinked_size: 0, last_accessed: at(-used), last_modified: at(-used), partial: [], revisions, ...more });
  const report = { cache_dir: '/srv/hf/hub', size_on_disk: 29_450_000_000, partial_size: 9_730_000_000, warnings: [], repos: [
    cached('Qwen/Qwen3-8B', 0, 2, [], { files: 0, partial: [{ name: 'a.part', size: 9_730_000_000 }] }),
    cached('openai/whisper-large-v3', 3_100_000_000, 420, [revision('4f', ['main'], 3_100_000_000, { models: ['openai/whisper-large-v3'], complete: true, verified: true })]),
    cached('stabilityai/sdxl-turbo', 13_880_000_000, 86_400, [revision('71', ['main'], 6_940_000_000, { models: ['stabilityai/sdxl-turbo'], complete: true, verified: true }), revision('0c', ['v1.0'], 6_940_000_000, {})]),
    cached('mistralai/Mistral-7B-v0.3', 12_470_000_000, 900_000, [revision('b6', ['main'], 12_470_000_000, { models: ['mistral'], complete: false, verified: false })]),
    cached('rajpurkar/squad', 35_000_000, 400_000, [revision('7b', ['main'], 35_000_000, {})], { repo_type: 'dataset' }),
  ] };
  await done(await show('library-full', '/library', { answers: pages({ 'GET /api/v1/cache': report }), stream: still(jobs) }, 'mistral'));

  await texts(show, pages, still);
  stub.close();
}

/** Names and errors from outside are shown as they are, on every screen. */
async function texts(show, pages, still) {
  const evil = row(1, EVIL, 'failed', { error: { code: 'bad_metadata', message: EVIL, remedy: `see https://example.org/"onclick="x ${EVIL} javascript:window.hacked=1` } });
  const runs = row(2, `evil/${EVIL}`, 'running');
  const stream = (send) => {
    still([evil, runs])(send);
    send('progress', { jobs: [{ job_id: runs.job_id, model_id: runs.model_id, phase: 'downloading', progress: runs.progress, files: [{ path: EVIL, size: 10, received: 5 }] }] });
  };
  let page = await show('hostile-queue', '/', { answers: pages(), stream }, EVIL);
  assert.ok((await page.locator('.active .files').innerText()).includes(EVIL));
  assert.equal(await page.locator('main img, main script').count(), 0);
  for (const link of await page.locator('main a').all()) assert.match(await link.getAttribute('href'), /^(\/|https?:\/\/)/);
  await page.close();

  const id = evil.job_id;
  const job = { id, model_id: EVIL, kind: 'download', repair: false, state: 'failed', phase: null, waiting: null, paused: false, priority: 0, attempt: 1, retries: 0, cancel_requested: false, cleared: false, commit: EVIL, files_total: 1, files_downloaded: 0, bytes_total: 10, bytes_downloaded: 5, bytes_reused: 0, speed_bytes_per_second: 0, current_file: EVIL, last_byte_at: null, error: evil.error, enqueued_at: at(0), started_at: at(0), updated_at: at(0), finished_at: at(1) };
  const base = `GET /api/v1/jobs/${id}`;
  const one = (item) => ({ items: [item], next: null });
  page = await show('hostile-job', `/jobs/${id}`, { answers: pages({
    [base]: job,
    [`${base}/files`]: one({ path: EVIL, size: 10, digest: EVIL, state: 'partial', bytes_downloaded: 5, verified: false, corrupt: true }),
    [`${base}/events`]: one({ id: 1, at: at(0), job_id: id, model_id: EVIL, kind: 'state', from_state: EVIL, to_state: EVIL, detail: EVIL }),
    'GET /api/v1/jobs': { items: [job, { ...job, id: `${id.slice(0, -1)}f`, cleared: true }], next: null },
    [`${base}/attempts`]: one({ attempt: 1, lease_token: 7, holder: EVIL, started_at: at(0), ended_at: at(1), outcome: 'failed', bytes_start: 0, bytes_end: 5, error_code: EVIL, error: EVIL }),
    [`GET /api/v1/models/${encodeURIComponent(EVIL)}`]: { model_id: EVIL, repo_id: EVIL, revision: EVIL, template: EVIL, variant: EVIL },
    [`GET /api/model-download-status/${encodeURIComponent(EVIL)}`]: { ...evil, cache: { complete: true, verified: false, path: EVIL, commit: EVIL } },
  }), stream }, 'Attempts', { full: true });
  assert.equal(await page.locator('main img, main script').count(), 0);
  await page.close();

  const report = { cache_dir: EVIL, size_on_disk: 1, partial_size: 0, warnings: [EVIL], repos: [{ repo_type: 'model', repo_id: EVIL, path: EVIL, size_on_disk: 1, files: 1, unlinked_size: 0, last_accessed: at(0), last_modified: at(0), partial: [{ name: EVIL, size: 1 }], revisions: [{ commit: EVIL, path: EVIL, refs: [EVIL], size_on_disk: 1, files: 1, dangling: 1, last_modified: at(0), models: [EVIL], complete: true, verified: false }] }] };
  page = await show('hostile-library', '/library', { answers: pages({ 'GET /api/v1/cache': report }), stream }, 'unfinished');
  assert.equal(await page.locator('main img, main script').count(), 0);
  await page.close();
}
