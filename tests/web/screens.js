// Runs every check of the dashboard: `node screens.js BIN OUT`, with the folder of the programs and one for pictures.

import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { found, launch } from './browser.js';
import { load, realLoad } from './load.js';
import { walk } from './real.js';
import { states } from './states.js';

const [bin, out, only] = process.argv.slice(2);
if (!bin || !out) throw new Error('usage: node screens.js BIN OUT [real|states|load]');
const parts = {
  real: async (context) => walk(context, { bin, folder: await mkdtemp(join(tmpdir(), 'modelhaul-web-')), shots: out }),
  states: (context) => states(context, { shots: out }),
  load: async (context) => {
    await load(context);
    await realLoad(context, { bin, folder: await mkdtemp(join(tmpdir(), 'modelhaul-web-')) });
  },
};
const context = await launch();
async function run(name) {
  if (only && only !== name) return;
  const began = Date.now();
  try {
    await parts[name](context);
  } catch (error) {
    await Promise.all(context.pages().map((page, n) => page.screenshot({ path: join(out, `stopped-${name}-${n}.png`) }).catch(() => {})));
    throw error;
  }
  console.log(`${name}: ${((Date.now() - began) / 1000).toFixed(1)} s`);
}
try {
  await Promise.all([run('real'), run('states')]);
  // Alone, because it measures.
  await run('load');
  if (found.length) throw new Error(`axe has found:\n${found.join('\n')}`);
} finally {
  await context.close();
}
process.exit(0);
