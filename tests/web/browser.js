// A real Chromium with what every check needs: axe, screenshots in both themes, and no silent errors.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const AXE = await readFile(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--force-color-profile=srgb'];

export async function launch() {
  const profile = await mkdtemp(join(tmpdir(), 'modelhaul-browser-'));
  return chromium.launchPersistentContext(profile, {
    executablePath: process.env.MODELHAUL_CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: FLAGS,
    viewport: { width: 1200, height: 780 },
    reducedMotion: 'reduce',
    locale: 'en-GB',
    timezoneId: 'UTC',
    permissions: ['clipboard-read', 'clipboard-write'],
    // axe is put into the page by the test; the service's own policy stays in force for everything else.
    bypassCSP: false,
  });
}

/** A page whose errors make the test fail, a violation of the content policy among them. */
export async function open(context, address) {
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const errors = [];
  page.on('pageerror', (error) => errors.push(`${error.stack ?? error}`));
  page.on('console', (message) => {
    const text = message.text();
    // An answer of 4xx or 5xx and a lost connection are in the plan of the test.
    if (message.type() === 'error' && !/Failed to load resource|ERR_|EventSource's response has a MIME type/.test(text)) errors.push(text);
  });
  page.healthy = () => assert.deepEqual(errors, []);
  await page.goto(address);
  return page;
}

/** What axe has found on all screens; the run fails at its end when there is anything. */
export const found = [];

/** Axe finds nothing. It runs over the debugger's door, which the content policy does not govern. */
export async function axe(page, name) {
  await page.evaluate(`${AXE};0`);
  const here = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ['violations'] });
    return violations.map((one) => `${one.id}: ${one.help}\n  ${one.nodes.slice(0, 4).map((node) => `${node.html.slice(0, 160)} ${node.failureSummary.replaceAll('\n', ' ')}`).join('\n  ')}`);
  });
  found.push(...here.map((text) => `${name}: ${text}`));
}

/** Takes the messages away that earlier steps have left. */
export async function calm(page) {
  const one = page.locator('.notice').getByRole('button', { name: 'Dismiss' });
  while (await one.count()) await one.first().click({ timeout: 2000 }).catch(() => {});
}

/** Looks at a screen in light and dark: a picture and axe in each. */
export async function look(page, folder, name, { width = 1200, height = 780, checks = true, full = false } = {}) {
  await mkdir(folder, { recursive: true });
  await page.setViewportSize({ width, height });
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    if (checks) await axe(page, `${name}, ${colorScheme}`);
    await page.screenshot({ path: join(folder, `${name}-${colorScheme}.png`), fullPage: full });
  }
  await page.emulateMedia({ colorScheme: 'light' });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wide <= 0, `${name} is ${wide} px wider than the window`);
}
