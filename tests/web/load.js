// What 200 jobs with live progress cost: script time for each tick of the stream, taken from the browser's own books. Once
// with a stream in which all of them move, and once with the events of the real service.

import assert from 'node:assert/strict';
import { open } from './browser.js';
import { hub as startHub, service as startService } from './programs.js';
import { READY, row, serve, snapshot } from './stub.js';

const JOBS = 200;
const HZ = 4;
const TICKS = 40;
const MOST_MS = 10;

export async function load(context) {
  const jobs = Array.from({ length: JOBS }, (_, n) => row(n, `org-${n % 7}/model-${n}`, n < 1 ? 'running' : n % 5 ? 'queued' : 'waiting', { position: n, waiting: n % 5 ? null : { reason: 'retry_backoff', until: new Date(Date.now() + 60_000).toISOString() } }));
  let ticks = 0;
  const stream = (send) => {
    send('snapshot', snapshot(jobs), 'e1:1');
    const timer = setInterval(() => {
      ticks += 1;
      const moved = jobs.map((job) => ({ job_id: job.job_id, model_id: job.model_id, phase: 'downloading', progress: { ...job.progress, bytes_downloaded: job.progress.bytes_downloaded + ticks * 1_000_000 }, files: [] }));
      send('progress', { jobs: moved });
    }, 1000 / HZ);
    return () => clearInterval(timer);
  };
  const stub = await serve(() => ({ answers: { 'GET /readyz': READY }, stream }));
  const page = await open(context, stub.address);
  await page.waitForFunction((n) => document.querySelectorAll('.row').length === n, JOBS - 1);
  await measure(context, page, `${JOBS} jobs that all move at ${HZ} Hz`, () => ticks);
  page.healthy();
  await page.close();
  stub.close();
}

/** One job that runs and 199 that wait, one of which is paused or resumed at each tick: real events of every kind. */
export async function realLoad(context, { bin, folder }) {
  const hub = await startHub(bin);
  await hub.order('POST', '/repos', { id: 'org/big', files: Array.from({ length: 8 }, (_, n) => ({ path: `part-${n}.safetensors`, size: 30_000_000, seed: n, lfs: true })) });
  await hub.order('PATCH', '/settings', { rate_total: 4_000_000 });
  const service = await startService(bin, folder, hub.endpoint, 'the admin token of a test');
  const ids = Array.from({ length: JOBS - 1 }, (_, n) => `org/waits-${n}`);
  for (const id of ['org/big', ...ids]) {
    await service.api('POST', '/api/v1/models', { model_id: id, kind: 'generic', repo_id: id, template: 'everything' });
    await service.api('POST', `/api/v1/models/${encodeURIComponent(id)}/start`);
  }
  const page = await open(context, service.address);
  await page.waitForFunction((n) => document.querySelectorAll('.row').length === n, JOBS - 1);
  let ticks = 0;
  const told = {};
  const network = await context.newCDPSession(page);
  await network.send('Network.enable');
  network.on('Network.eventSourceMessageReceived', ({ eventName }) => {
    told[eventName] = (told[eventName] ?? 0) + 1;
    if (eventName === 'progress') ticks += 1;
  });
  // The page was there before its messages were counted.
  await page.reload();
  await page.waitForFunction((n) => document.querySelectorAll('.row').length === n, JOBS - 1);
  let n = 0;
  const timer = setInterval(() => {
    const id = encodeURIComponent(ids[n % ids.length]);
    void service.api('POST', `/api/v1/models/${id}/${n < ids.length ? 'pause' : 'resume'}`).catch(() => {});
    n += 1;
  }, 1000 / HZ);
  await measure(context, page, `${JOBS} jobs of the real service`, () => ticks);
  clearInterval(timer);
  for (const name of ['job', 'queue', 'throughput']) assert.ok(told[name] > 5, `${name}: ${JSON.stringify(told)}`);
  console.log(`load: events ${JSON.stringify(told)}`);
  page.healthy();
  await page.close();
  await service.kill();
}

/** Script time for each of the ticks that are counted by `ticks`. */
async function measure(context, page, what, ticks) {
  const debug = await context.newCDPSession(page);
  await debug.send('Performance.enable', { timeDomain: 'threadTicks' });
  const read = async () => Object.fromEntries((await debug.send('Performance.getMetrics')).metrics.map(({ name, value }) => [name, value]));
  const until = async (n) => {
    const limit = Date.now() + 60_000;
    while (ticks() < n && Date.now() < limit) await new Promise((resolve) => setTimeout(resolve, 25));
    assert.ok(ticks() >= n, `${ticks()} ticks of ${n}`);
  };
  // The first ticks warm the script up.
  await until(12);
  const [first, before] = [ticks(), await read()];
  await until(first + TICKS);
  const [last, after] = [ticks(), await read()];
  const per = (name) => (1000 * (after[name] - before[name])) / (last - first);
  const script = per('ScriptDuration');
  console.log(`load: ${what}: script ${script.toFixed(2)} ms a tick, style and layout ${(per('RecalcStyleDuration') + per('LayoutDuration')).toFixed(2)} ms, heap ${(after.JSHeapUsedSize / 1e6).toFixed(1)} MB`);
  assert.ok(script < MOST_MS, `${what}: ${script} ms of script a tick`);
}
