// What 200 jobs with live progress cost: script time for each tick of the stream, taken from the browser's own books.

import assert from 'node:assert/strict';
import { open } from './browser.js';
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
  const debug = await context.newCDPSession(page);
  await debug.send('Performance.enable', { timeDomain: 'threadTicks' });
  const read = async () => Object.fromEntries((await debug.send('Performance.getMetrics')).metrics.map(({ name, value }) => [name, value]));
  const until = async (n) => {
    while (ticks < n) await new Promise((resolve) => setTimeout(resolve, 25));
  };
  // The first ticks warm the script up.
  await until(12);
  const [first, before] = [ticks, await read()];
  await until(first + TICKS);
  const [last, after] = [ticks, await read()];
  const per = (name) => (1000 * (after[name] - before[name])) / (last - first);
  const script = per('ScriptDuration');
  console.log(`load: ${JOBS} jobs at ${HZ} Hz: script ${script.toFixed(2)} ms a tick, style and layout ${(per('RecalcStyleDuration') + per('LayoutDuration')).toFixed(2)} ms, heap ${(after.JSHeapUsedSize / 1e6).toFixed(1)} MB`);
  assert.ok(script < MOST_MS, `${script} ms of script a tick`);
  page.healthy();
  await page.close();
  stub.close();
}
