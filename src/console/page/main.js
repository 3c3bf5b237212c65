// @ts-check
/** Start of the page. */
import { App } from './app.js';
import { watchNetwork } from './state/live.js';
import { startClock } from './state/store.js';
import { html, render } from './vendor/preact.js';

startClock();
watchNetwork();
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById('app')));
