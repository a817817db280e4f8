// Makes web/vendor/lit-html.js from the locked npm package: the library, keyed lists and live form values in one file.
import { readFile, writeFile } from 'node:fs/promises';
import { build } from 'esbuild';

const target = new URL('../../web/vendor/lit-html.js', import.meta.url);
const { version } = JSON.parse(await readFile(new URL('node_modules/lit-html/package.json', import.meta.url), 'utf8'));
const result = await build({
  stdin: {
    contents: `export { html, svg, nothing, render } from 'lit-html';
      export { repeat } from 'lit-html/directives/repeat.js';
      export { live } from 'lit-html/directives/live.js';`,
    resolveDir: import.meta.dirname,
  },
  bundle: true,
  format: 'esm',
  minify: true,
  legalComments: 'none',
  write: false,
});
const licence = await readFile(new URL('node_modules/lit-html/LICENSE', import.meta.url), 'utf8');
await writeFile(target, `/*! lit-html ${version} with the directives repeat and live\n\n${licence.trim()}\n*/\n${result.outputFiles[0].text}`);
