// The way through the real service: add, watch, pause, resume, cancel, fail, retry, clear, reconnect, delete.

import assert from 'node:assert/strict';
import { look, open } from './browser.js';
import { hub as startHub, service as startService } from './programs.js';

const TOKEN = 'the admin token of a test';
const MB = 1_000_000;

export async function walk(context, { bin, folder, shots }) {
  const hub = await startHub(bin);
  let service = await startService(bin, folder, hub.endpoint, TOKEN);
  const file = (path, size, seed) => ({ path, size: size * MB, seed, lfs: true });
  await hub.order('POST', '/repos', { id: 'aurora/vision-large', files: [{ path: 'config.json', text: '{}\n' }, file('model-00001-of-00003.safetensors', 48, 1), file('model-00002-of-00003.safetensors', 40, 2), file('model-00003-of-00003.safetensors', 24, 3), { path: 'tokenizer.json', text: '{"a": 1}\n' }] });
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

  // Cancel, and begin again where it was.
  await press('Cancel aurora/vision-large');
  await row('aurora/vision-large').getByText('Cancelled', { exact: true }).waitFor();
  await press('Download again aurora/vision-large');
  await card.waitFor();

  // The service is killed and comes back.
  await service.kill();
  await page.getByText('Connection lost.').waitFor();
  await page.locator('[data-stale]').waitFor();
  await look(page, shots, 'connection-lost');
  service = await startService(bin, folder, hub.endpoint, TOKEN, service.port);
  await page.getByText('Connection lost.').waitFor({ state: 'detached' });
  await card.waitFor();
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
  await page.locator('.chart').waitFor();
  await page.goto(`${service.address}/jobs/019aaaaa-0000-7000-8000-000000000000`);
  await page.getByText('unknown_job').waitFor();

  // Once there are tokens, who has none sees nothing, and a viewer may look.
  await press('Sign out');
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
  docs.healthy();
  await docs.close();
  await service.kill();
}
