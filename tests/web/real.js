// The way through the real service: add, watch, pause, resume, cancel, fail, retry, clear, reconnect, delete.

import assert from 'node:assert/strict';
import { calm, look as lookAt, open } from './browser.js';
import { hub as startHub, service as startService } from './programs.js';

const TOKEN = 'the admin token of a test';
const MB = 1_000_000;

/** A screen without the messages of earlier steps, unless they are what is looked at. */
async function look(page, shots, name, options = {}) {
  if (!options.messages && (await page.locator('dialog').count()) === 0) await calm(page);
  await lookAt(page, shots, name, options);
}

export async function walk(context, { bin, folder, shots }) {
  const hub = await startHub(bin);
  let service = await startService(bin, folder, hub.endpoint, TOKEN);
  const file = (path, size, seed) => ({ path, size: size * MB, seed, lfs: true });
  await hub.order('POST', '/repos', { id: 'aurora/vision-large', files: [{ path: 'config.json', text: '{}\n' }, file('model-00001-of-00003.safetensors', 96, 1), file('model-00002-of-00003.safetensors', 80, 2), file('model-00003-of-00003.safetensors', 48, 3), { path: 'tokenizer.json', text: '{"a": 1}\n' }] });
  await hub.order('POST', '/repos', { id: 'aurora/vision-small', files: [{ path: 'config.json', text: '{}\n' }, file('model.safetensors', 6, 4)] });
  await hub.order('POST', '/repos', { id: 'studio/licensed', gate: 'manual', files: [{ path: 'config.json', text: '{}\n' }, file('model.safetensors', 6, 5)] });
  await hub.order('PATCH', '/settings', { rate_total: 6 * MB });

  const page = await open(context, service.address);
  const row = (id) => page.locator('.row', { hasText: id });
  const card = page.locator('.card.active');
  const press = (name, exact = true) => page.getByRole('button', { name, exact }).click();
  const add = async (text) => {
    await page.getByLabel('Add a model').fill(text);
    await page.keyboard.press('Enter');
  };

  // First run, and what cannot be added.
  await page.getByText('Nothing was downloaded yet').waitFor();
  assert.ok((await page.locator('.commands').innerText()).includes(service.address), 'the commands have the real address');
  await look(page, shots, 'queue-first-run');
  await add('not a model');
  await page.getByRole('alert').waitFor();
  await look(page, shots, 'queue-field-error');
  await add('aurora/nothing');
  await page.getByText('repo_not_found').waitFor();
  await look(page, shots, 'queue-hub-refusal');

  // Preview, then download.
  await add(`${hub.endpoint}/aurora/vision-large/tree/main`);
  await page.getByRole('button', { name: /^Download \d/ }).waitFor();
  await look(page, shots, 'queue-plan');
  await page.getByRole('button', { name: /^Download \d/ }).click();
  await card.waitFor();
  await add('aurora/vision-small');
  await page.getByRole('button', { name: /^Download \d/ }).click();
  await row('aurora/vision-small').waitFor();
  await page.waitForFunction(() => document.querySelector('.active progress')?.value > 2e6);

  // Pause and resume one job; the next one goes on meanwhile.
  await press('Pause aurora/vision-large');
  await row('aurora/vision-large').getByText('Paused', { exact: true }).waitFor();
  await row('aurora/vision-small').getByText('Completed', { exact: true }).waitFor({ timeout: 30_000 });
  await press('Resume aurora/vision-large');
  await card.waitFor();
  await look(page, shots, 'queue-running');
  await look(page, shots, 'queue-running-small', { width: 360 });
  await card.getByRole('link', { name: 'aurora/vision-large' }).click();
  await page.getByRole('heading', { name: '5 files' }).waitFor();
  await look(page, shots, 'job-running', { full: true });
  await page.goBack();

  // Cancel, and begin again where it was.
  await press('Cancel aurora/vision-large');
  await row('aurora/vision-large').getByText('Cancelled', { exact: true }).waitFor();
  await press('Download again aurora/vision-large');
  await card.waitFor();

  // The service is killed and comes back: the page says so, and goes on with the new process's events.
  await page.waitForFunction(() => document.querySelector('.active progress')?.value > 8e6);
  const { port } = service;
  const again = (options) => startService(bin, folder, hub.endpoint, TOKEN, { port, ...options });
  await service.kill();
  await page.getByText('Connection lost.').waitFor();
  await page.locator('[data-stale]').waitFor();
  await page.getByText('Last data 2 s old.', { exact: false }).waitFor();
  await look(page, shots, 'connection-lost');
  service = await again();
  await page.getByText('Connection lost.').waitFor({ state: 'detached' });
  await page.locator('.notice').getByText('The service was restarted.', { exact: false }).waitFor();
  await card.waitFor();
  await page.getByText('Live', { exact: true }).waitFor();
  await look(page, shots, 'restarted', { messages: true });
  // Back before anybody sees that it was away: the stream is continued, and says who continues it.
  await calm(page);
  await service.kill();
  service = await again();
  await page.locator('.notice').getByText('The service was restarted.', { exact: false }).waitFor();
  await card.waitFor();
  const before = await page.evaluate(() => document.querySelector('.active progress').value);
  await page.waitForFunction((n) => (document.querySelector('.active progress')?.value ?? Infinity) > n, before);
  await hub.order('PATCH', '/settings', { rate_total: 0 });
  await page.locator('.row', { hasText: 'aurora/vision-large' }).filter({ hasText: 'Completed' }).waitFor({ timeout: 60_000 });

  // A failure with its remedy, and a retry that helps.
  await hub.order('POST', '/repos', { id: 'aurora/mended', files: [file('model.safetensors', 3, 6)] });
  const { id } = await hub.order('POST', '/faults', { path: '*model.safetensors*', place: 'cdn', method: 'GET', does: { corrupt: { offset: 1000 } } });
  await add('aurora/mended');
  await page.getByRole('button', { name: /^Download \d/ }).click();
  await row('aurora/mended').getByText('Failed', { exact: true }).waitFor({ timeout: 30_000 });
  await hub.order('DELETE', `/faults/${id}`);
  await press('Retry aurora/mended');
  await row('aurora/mended').getByText('Completed', { exact: true }).waitFor({ timeout: 30_000 });

  // A gated repository fails with the page of its licence; clearing needs the token.
  await add('studio/licensed');
  await page.getByText('Gated', { exact: true }).or(page.getByText('gated', { exact: false }).first()).first().waitFor();
  await service.api('POST', '/api/v1/models', { model_id: 'licensed', kind: 'generic', repo_id: 'studio/licensed', template: 'everything' });
  await service.api('POST', '/api/v1/models/licensed/start');
  await row('licensed').getByText('Failed', { exact: true }).waitFor({ timeout: 30_000 });
  await page.keyboard.press('Escape');
  await look(page, shots, 'queue-failed');
  await row('licensed').getByRole('link', { name: 'licensed' }).first().click();
  await page.getByRole('heading', { name: 'Attempts' }).waitFor();
  await look(page, shots, 'job-failed', { full: true });
  await page.goBack();
  await press('Clear licensed');
  await page.getByRole('dialog').waitFor();
  await look(page, shots, 'dialog-clear');
  await page.getByRole('dialog').getByRole('button', { name: 'Clear' }).click();
  await page.locator('#token').waitFor();
  await look(page, shots, 'dialog-sign-in');
  await page.locator('#token').fill('wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('#token-error').waitFor();
  await page.locator('#token').fill(TOKEN);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await row('licensed').waitFor({ state: 'detached' });

  // Filters stand in the address and outlive a reload; so does every other address.
  await page.getByRole('button', { name: /^Completed/ }).click();
  assert.ok(page.url().endsWith('/?state=completed'), page.url());
  await page.getByLabel('Filter by model').fill('zzz');
  await page.getByText('No job fits the filter').waitFor();
  await look(page, shots, 'queue-no-match');
  await page.reload();
  await page.getByText('No job fits the filter').waitFor();
  await press('Show all');
  await row('aurora/vision-large').getByRole('link').first().click();
  await page.getByRole('heading', { name: 'Use it' }).waitFor();
  await page.reload();
  await page.getByRole('heading', { name: 'Use it' }).waitFor();
  await page.getByRole('button', { name: 'Copy path' }).click();
  const path = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(path, /models--aurora--vision-large\/snapshots\/[0-9a-f]{40}$/);
  await look(page, shots, 'job-completed', { full: true });

  await page.getByRole('link', { name: 'Library' }).click();
  await page.getByRole('region', { name: 'aurora/mended' }).waitFor();
  await look(page, shots, 'library', { full: true });
  // The session outlives the reloads: nobody is asked again.
  await page.getByRole('button', { name: /^Delete aurora\/mended/ }).click();
  await page.getByRole('button', { name: 'Delete', exact: true }).waitFor();
  assert.ok(await page.getByRole('button', { name: 'Delete', exact: true }).isDisabled(), 'nothing is deleted before the name is typed');
  await page.getByLabel('Type aurora/mended to confirm').fill('aurora/mended');
  await look(page, shots, 'dialog-delete');
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await page.getByRole('region', { name: 'aurora/mended' }).waitFor({ state: 'detached' });

  await page.getByRole('link', { name: 'Settings' }).click();
  await page.getByLabel('Limit all downloads to').fill('fast');
  await press('Set limit');
  await page.locator('#limit-error').waitFor();
  await page.getByLabel('Limit all downloads to').fill('5 MB/s');
  await press('Set limit');
  await page.locator('.notice').getByText('The limit applies from now on.').waitFor();
  await look(page, shots, 'settings', { full: true });
  await page.getByRole('region', { name: 'Queue state' }).getByRole('button', { name: 'Pause queue' }).click();
  await page.getByText('The queue is paused.').waitFor();
  assert.equal((await service.api('GET', '/api/v1/queue')).paused, true);

  await page.getByRole('link', { name: 'Activity' }).click();
  for (const range of ['24 hours', '1 hour', '5 minutes']) {
    await page.getByRole('button', { name: range }).click();
    await page.getByRole('img', { name: `Throughput of the last ${range}` }).waitFor();
  }
  assert.ok(await page.locator('.chart .curve').count(), 'what came before the reload is in the curve');
  await look(page, shots, 'activity-kept');
  await page.goto(`${service.address}/jobs/019aaaaa-0000-7000-8000-000000000000`);
  await page.getByText('unknown_job').waitFor();
  await look(page, shots, 'job-unknown');
  await service.api('PATCH', '/api/v1/queue', { paused: false, bandwidth_limit: null });

  await press('Sign out');
  await page.getByRole('button', { name: 'Sign out' }).waitFor({ state: 'detached' });
  await otherStates(context, { page, shots, hub, again, service, set: (next) => { service = next; } });

  // Once there are tokens, who has none sees nothing, and a viewer may look.
  const viewer = await service.token('eve', 'viewer');
  await page.goto(service.address);
  await page.getByRole('heading', { name: 'Sign in to modelhaul' }).waitFor();
  await page.locator('#token').fill(viewer);
  await press('Sign in');
  await page.getByText('Read-only', { exact: true }).waitFor();
  await look(page, shots, 'queue-viewer');
  await row('aurora/vision-large').first().waitFor();
  assert.equal(await page.getByRole('button', { name: /^(Pause|Resume|Cancel|Retry|Clear|To top) / }).count(), 0, 'a viewer changes nothing');
  assert.equal(await page.getByLabel('Add a model').count(), 0);
  const cookies = (await context.cookies()).filter((cookie) => cookie.name === 'modelhaul_session');
  assert.ok(cookies.length === 1 && cookies[0].httpOnly && cookies[0].sameSite === 'Strict', 'the cookie is out of reach');
  await service.revoke('eve');
  await page.reload();
  await page.getByText('Nothing was downloaded yet').or(row('aurora/vision-large')).first().waitFor();
  page.healthy();
  await page.close();

  // The document of the API as a page: nothing of it is stopped by its content policy, and a request can be tried.
  const docs = await open(context, `${service.address}/docs`);
  const operation = docs.locator('#operations-probes-health');
  await operation.locator('.opblock-summary-control').click();
  await operation.getByRole('button', { name: 'Try it out' }).click();
  await operation.getByRole('button', { name: 'Execute' }).click();
  await operation.locator('.live-responses-table .response-col_status', { hasText: '200' }).waitFor();
  await docs.evaluate(() => scrollTo(0, 0));
  await look(docs, shots, 'docs');
  docs.healthy();
  await docs.close();
  await service.kill();
}

/** What a configuration or another process brings about, in the real service. */
async function otherStates(context, { page, shots, hub, again, service, set }) {
  const restart = async (options) => {
    await service.kill();
    service = await again(options);
    set(service);
    await page.goto(service.address);
    await page.getByText('Live', { exact: true }).waitFor();
  };
  const start = async (id) => {
    await hub.order('POST', '/repos', { id, files: [{ path: 'model.safetensors', size: 60 * MB, seed: id.length, lfs: true }] });
    await service.api('POST', '/api/v1/models', { model_id: id, kind: 'generic', repo_id: id, template: 'everything' });
    await service.api('POST', `/api/v1/models/${encodeURIComponent(id)}/start`);
  };
  await restart({ config: 'disk_floor = "900 TB"\n' });
  await start('aurora/too-big');
  await page.getByText('The disk is full.').waitFor();
  await look(page, shots, 'disk-full-real');

  // Room again, and a window in which downloads are slow.
  const window_ = 'time_zone = "UTC"\nbandwidth_windows = ["Mon-Sun 00:00-24:00 -> 2 MB/s"]\n';
  await restart({ config: window_ });
  await page.locator('.card.active', { hasText: 'aurora/too-big' }).waitFor();
  await page.getByText('Limited to 2 MB/s', { exact: true }).waitFor();
  await look(page, shots, 'window');

  // A second process over the same database stands by, and shows what the first one does.
  const second = await again({ port: 0, config: window_ });
  const other = await open(context, second.address);
  await other.getByText('Stand-by.').waitFor();
  await other.locator('.card.active', { hasText: 'aurora/too-big' }).waitFor();
  await look(other, shots, 'stand-by-real');
  await service.kill();
  await other.getByText('Stand-by.').waitFor({ state: 'detached' });
  const taken = await other.evaluate(() => document.querySelector('.active progress').value);
  await other.waitForFunction((n) => document.querySelector('.active progress')?.value > n, taken);
  other.healthy();
  await other.close();
  await second.kill();

  // Without the hub; and a proxy that cuts the stream: then the page asks, and notices a restart all the same.
  await page.route('**/api/v1/events', (route) => route.fulfill({ status: 502, body: '' }));
  service = await again({ env: { HF_HUB_OFFLINE: '1' } });
  set(service);
  await page.goto(service.address);
  await page.getByText('Every 5 s', { exact: true }).waitFor();
  await page.getByText('Offline mode.').waitFor();
  await start('aurora/never');
  await page.locator('.row', { hasText: 'aurora/never' }).getByText('Failed', { exact: true }).waitFor();
  await look(page, shots, 'offline-real');
  await service.kill();
  service = await again();
  set(service);
  await page.locator('.notice').getByText('The service was restarted.', { exact: false }).waitFor();
  await page.unroute('**/api/v1/events');
  await page.goto(service.address);
  await page.getByText('Live', { exact: true }).waitFor();
}
