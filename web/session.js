// Who is signed in. The service swaps a token for a cookie; this page keeps a token in memory only when it cannot.

import { hasToken, optional, post, remove, useToken } from './api.js';
import { connect, meet } from './live.js';
import { changed, notice, state } from './store.js';

/** Learns the role and which process answers. */
export async function learn() {
  try {
    const session = await optional('/api/v1/session');
    state.session = session ? { ...session, known: true } : { known: false, role: null, sign_in_required: false };
    meet(session?.server);
  } catch {
    // The feed says why the service does not answer.
  }
  changed();
}

/** @param {string} token */
export async function signIn(token) {
  if (state.session.known) {
    await post('/api/v1/session', { token });
    await learn();
  } else {
    useToken(token);
  }
  connect();
}

export async function signOut() {
  try {
    if (state.session.known) await remove('/api/v1/session');
  } catch (error) {
    notice('bad', `Not signed out: ${error.message}`);
    return;
  }
  useToken(null);
  await learn();
  connect();
}

export const signedIn = () => hasToken() || (state.session.known && state.session.signed_in);
