// The practice hub and the real service as child processes that end with this one.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const run = promisify(execFile);

const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

async function line(stream, pattern, what) {
  const lines = createInterface({ input: stream });
  for await (const text of lines) {
    const match = pattern.exec(text);
    if (match) {
      stream.resume();
      return match[1];
    }
  }
  throw new Error(`${what} did not start`);
}

function start(command, args, env) {
  const child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
  children.add(child);
  child.log = '';
  child.stderr.on('data', (data) => { child.log = (child.log + data).slice(-20_000); });
  child.on('exit', () => children.delete(child));
  return child;
}

/** The practice hub; it ends when its standard input is closed. */
export async function hub(bin) {
  const child = start(join(bin, 'practicehub'), ['--demo', '--with-stdin'], process.env);
  const control = line(child.stderr, /^control: (\S+)/, 'the control door');
  const endpoint = await line(child.stdout, /^HF_ENDPOINT=(\S+)/, 'the practice hub');
  const door = await control;
  const order = async (method, path, body) => {
    const answer = await fetch(door + path, { method, body: body === undefined ? undefined : JSON.stringify(body), headers: { 'Content-Type': 'application/json' } });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  return { endpoint, order };
}

/** The service over a folder; the same folder and port again is a restart. */
export async function service(bin, folder, endpoint, token, { port = 0, env: more = {}, config = null } = {}) {
  const file = join(folder, 'config', 'modelhaul', 'config.toml');
  await mkdir(join(file, '..'), { recursive: true });
  if (config === null) await rm(file, { force: true });
  else await writeFile(file, config);
  const env = {
    PATH: process.env.PATH, HOME: folder, HF_HOME: join(folder, 'hf'), XDG_CONFIG_HOME: join(folder, 'config'),
    MODELHAUL_DB: join(folder, 'modelhaul.db'), MODELHAUL_ADMIN_TOKEN: token, HF_ENDPOINT: endpoint, NO_PROXY: '127.0.0.1', ...more,
  };
  const child = start(join(bin, 'modelhaul'), ['serve', '--listen', `127.0.0.1:${port}`], env);
  const address = await line(child.stdout, /^listening on (\S+?)\/?$/, 'the service').catch((error) => { throw new Error(`${error.message}: ${child.log}`); });
  return {
    address,
    port: Number(new URL(address).port),
    log: () => child.log,
    /** What `modelhaul token create` prints. */
    token: async (name, role) => (await run(join(bin, 'modelhaul'), ['token', 'create', '--name', name, '--role', role], { env })).stdout.trim(),
    revoke: (name) => run(join(bin, 'modelhaul'), ['token', 'revoke', name], { env }),
    async kill() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
    async api(method, path, body) {
      const answer = await fetch(address + path, { method, headers: { Authorization: `Bearer ${token}`, ...(body ? { 'Content-Type': 'application/json' } : {}) }, body: body && JSON.stringify(body) });
      return answer.status === 204 ? null : answer.json();
    },
  };
}
