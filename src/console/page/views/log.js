// @ts-check
/** Messages of sessions since the page was opened. */
/** @import { LoggedMessage } from '../state/store.js' */
/** @import { MessageLevel } from '../../../core/messages.ts' */
/** @import { IconName } from '../parts/basics.js' */
import { Badge, Time, ViewHead } from '../parts/basics.js';
import { linkTo } from '../state/router.js';
import { change, useStore } from '../state/store.js';
import { html, useEffect } from '../vendor/preact.js';

/** @type {Readonly<Record<MessageLevel, readonly [string, IconName, string]>>} */
const LEVELS = {
  error: ['bad', 'failed', 'error'],
  warn: ['warn', 'warning', 'warning'],
  info: ['info', 'info', 'note'],
};

export function Log() {
  const messages = useStore((state) => state.messages);
  useEffect(() => change({ unreadCount: 0 }), [messages]);
  return html`
    <${ViewHead} title="Messages" mark=${html`<span class="soft">since this page was opened</span>`} />
    <section class="card">
      ${messages.length === 0 && html`<p class="soft">No message yet. The reports of runs have those of earlier sessions.</p>`}
      <ul class="log">${messages.map((logged) => html`<li key=${logged.id}><${Line} logged=${logged} /></li>`)}</ul>
    </section>
  `;
}

/** @param {{ logged: LoggedMessage }} props */
function Line({ logged: { at, jobName, message } }) {
  const [kind, icon, word] = LEVELS[message.level];
  const hasAdvice = message.resolution !== '' && message.resolution !== 'None.';
  return html`<div class="note ${kind}">
    <p class="row"><${Badge} kind=${kind} icon=${icon}>${word}<//> <code>${message.code}</code> <span class="soft small"><${Time} iso=${at} form="clock" />${jobName !== undefined && html` · job <a href=${linkTo('jobs', jobName)}><bdi>${jobName}</bdi></a>`}</span></p>
    <p>${message.text}</p>
    ${hasAdvice && html`<p class="soft">What to do: ${message.resolution}</p>`}
  </div>`;
}
