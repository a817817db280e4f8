// Puts the parts together: the feed, the address, the renderer.

import { connect, onReturn, start as startFeed } from './live.js';
import { enter, learn as learnService, load } from './pages.js';
import { start as startRouter } from './router.js';
import { learn as learnSession } from './session.js';
import { changed, onDraw, state } from './store.js';
import { render } from './vendor/lit-html.js';
import { shell } from './views/shell.js';

const root = document.getElementById('app');
root.replaceChildren();
onDraw(() => render(shell(), root));

startRouter(enter);
startFeed();
void learnSession();
void learnService();
onReturn(() => {
  void learnSession();
  void learnService();
  void load();
});

// Ages and waiting times move on although nothing comes from the service.
setInterval(() => {
  if (!document.hidden) changed();
}, 1000);
setInterval(() => {
  if (!document.hidden && state.link.mode !== 'lost') void learnService();
}, 30_000);

document.addEventListener('keydown', (event) => {
  const typing = event.target instanceof Element && event.target.closest('input, select, textarea, dialog');
  if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const box = document.getElementById('add');
    if (box) {
      event.preventDefault();
      box.focus();
    }
  }
});
document.addEventListener('retry-connection', connect);
