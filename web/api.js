// The only place that speaks HTTP: JSON in and out, refusals as `Refusal`, a token kept in memory only.

/** A refusal of the service, or that it does not answer (status 0). */
export class Refusal extends Error {
  /** @param {number} status @param {any} problem */
  constructor(status, problem) {
    super(problem?.detail ?? problem?.title ?? (status === 0 ? 'the service does not answer' : `the service answered ${status}`));
    this.status = status;
    this.code = problem?.code ?? (status === 0 ? 'unreachable' : 'unknown');
    this.remedy = problem?.remedy ?? null;
    this.requestId = problem?.request_id ?? null;
    this.fields = problem?.errors ?? [];
    this.members = problem ?? {};
  }

  get needsToken() {
    return this.status === 401;
  }
}

let token = null;

/** Keeps a token for this page only; it is gone after a reload. @param {string|null} value */
export function useToken(value) {
  token = value;
}

export const hasToken = () => token !== null;

/** An id as one segment of an address. */
export const segment = encodeURIComponent;

/**
 * @param {string} method @param {string} path @param {any} [body] @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<any>} the JSON, or null for an empty answer
 */
export async function call(method, path, body, options = {}) {
  const headers = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  let response;
  let text;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: options.signal ?? AbortSignal.timeout(method === 'GET' ? 20_000 : 120_000),
      cache: 'no-store',
    });
    text = await response.text();
  } catch (error) {
    throw new Refusal(0, { detail: error?.name === 'TimeoutError' ? 'the service took too long to answer' : undefined });
  }
  let json = null;
  try {
    json = text === '' ? null : JSON.parse(text);
  } catch {
    if (response.ok) throw new Refusal(response.status, { detail: 'the answer is no JSON: is this the service, or a proxy?' });
  }
  if (!response.ok) throw new Refusal(response.status, json);
  return json;
}

export const get = (path, options) => call('GET', path, undefined, options);
export const post = (path, body) => call('POST', path, body);
export const patch = (path, body) => call('PATCH', path, body);
export const remove = (path) => call('DELETE', path);

/** The JSON, or null when this service has no such address. @param {string} path */
export async function optional(path) {
  try {
    return await get(path);
  } catch (error) {
    if (error.status === 404 || error.status === 405) return null;
    throw error;
  }
}
