// @ts-check
/** Restores, checks and exports that someone has started. */
/** @import { TaskRow } from '../../contract.ts' */
import { Facts, Name, StateBadge, Time, ViewHead } from '../parts/basics.js';
import { linkTo } from '../state/router.js';
import { useStore } from '../state/store.js';
import { showToast } from '../state/toasts.js';
import { html } from '../vendor/preact.js';
import { counted, TASK_TYPE_WORDS } from '../words.js';
import { StopTask } from './actions.js';
import { SessionOf } from './sessions.js';

export function Tasks() {
  const tasks = useStore((state) => state.tasks);
  const rows = [...tasks.values()].sort((a, b) => b.startedAt.localeCompare(a.startedAt));
  return html`
    <${ViewHead} title="Tasks" mark=${html`<span class="soft">${counted(rows.length, 'task')}</span>`} />
    ${rows.length === 0 && html`<section class="card"><p class="soft">No task yet. Restores, checks and exports begin at a restore point of a VM.</p></section>`}
    <ul class="sessions">${rows.map((task) => html`<li key=${task.taskId}><${TaskCard} task=${task} /></li>`)}</ul>
  `;
}

/** @param {{ taskId: string }} props */
export function Task({ taskId }) {
  const task = useStore(({ tasks }) => tasks.get(taskId));
  const isLoaded = useStore((state) => state.isLoaded);
  const title = task ? `${TASK_TYPE_WORDS[task.request.type]}: ${task.vmName}` : 'Task';
  return html`
    <${ViewHead} title=${title} kicker=${html`<a href="#/tasks">Tasks</a>`}>${task ? html`${TASK_TYPE_WORDS[task.request.type]}: <${Name} text=${task.vmName} />` : title}<//>
    ${task && html`<${TaskCard} task=${task} isAlone /><${SessionOf} sessionId=${task.sessionId} />`}
    ${!task && html`<p class="card soft">${isLoaded ? 'The daemon does not know this task any more.' : 'Loading …'}</p>`}
  `;
}

/** @param {{ task: TaskRow, isAlone?: boolean }} props */
function TaskCard({ task, isAlone = false }) {
  const { taskId, request, vmName, state, startedAt, endedAt, waitsFor, results, failure } = task;
  const { jobName, vmKey, pointId, type } = request;
  const title = `${TASK_TYPE_WORDS[type]} of ${vmName}`;
  return html`<article class="card" aria-label=${title}>
    <div class="row">
      ${isAlone ? html`<h2>State</h2>` : html`<h2><a href=${linkTo('tasks', taskId)}>${TASK_TYPE_WORDS[type]}: <${Name} text=${vmName} /></a></h2>`}
      <${StateBadge} state=${state} />
      <div class="actions">${state === 'running' && html`<${StopTask} taskId=${taskId} title=${title} isExport=${type === 'export'} />`}</div>
    </div>
    <${Facts} facts=${[
      [
        'Point',
        html`<a href=${linkTo('jobs', jobName, 'vms', vmKey, 'points', pointId)}>open it</a>, job <bdi>${jobName}</bdi>`,
      ],
      [
        'New VM',
        request.type === 'restoreVm' &&
          html`<bdi>${request.newName}</bdi> on <bdi>${request.storageDomain}</bdi>`,
      ],
      ['Disks', request.type === 'restoreFiles' && counted(request.diskIds.length, 'disk')],
      ['Waits', waitsFor],
      ['Started', html`<${Time} iso=${startedAt} />`],
      ['Ended', endedAt && html`<${Time} iso=${endedAt} />`],
      [
        'Result',
        // An export that has ended has no address any more.
        (type !== 'export' || state === 'running') &&
          results.length > 0 &&
          html`<ul class="results">${results.map((text) => html`<li key=${text}><${Result} text=${text} /></li>`)}</ul>`,
      ],
    ]} />
    ${failure && html`<div class="note bad"><p><code>${failure.code}</code> ${failure.message}</p>${failure.hint && html`<p class="soft">What to do: ${failure.hint}</p>`}</div>`}
  </article>`;
}

/** @param {{ text: string }} props */
function Result({ text }) {
  async function copy() {
    await navigator.clipboard.writeText(text);
    showToast({ kind: 'info', text: 'Copied' });
  }
  return html`<code><bdi>${text}</bdi></code> ${navigator.clipboard && html`<button type="button" class="small-button" aria-label=${`Copy ${text}`} onClick=${copy}>Copy</button>`}`;
}
