// @ts-check
/** Sessions that run, with their disks. */
/** @import { JobRow, LiveContainer, LiveDisk, LiveSession, VmRow } from '../../contract.ts' */
import {
  Badge,
  Bytes,
  Name,
  ProgressBar,
  Section,
  StateBadge,
  Time,
  ViewHead,
} from '../parts/basics.js';
import { Table } from '../parts/table.js';
import { timeLeftMs, totalsOf } from '../state/progress.js';
import { linkTo, vmLink } from '../state/router.js';
import { useStore, vmId } from '../state/store.js';
import { html } from '../vendor/preact.js';
import { bytesText, counted, leftText, PHASE_WORDS, percentOf, WORK_WORDS } from '../words.js';
import { StopRun } from './actions.js';

export function Sessions() {
  const sessions = useStore((state) => state.sessions);
  const ended = useStore((state) => state.endedSessions);
  const runningJobs = useStore(runningJobsOf);
  const rows = [...sessions.values()];
  return html`
    <${ViewHead} title="Sessions" mark=${html`<span class="soft">${counted(rows.length, 'session')} running</span>`} />
    ${rows.length === 0 && html`<section class="card"><p class="soft">No session runs now. ${runningJobs ? html`These jobs run, and their VMs wait or are done: <bdi>${runningJobs}</bdi>. See <a href=${linkTo('messages')}>messages</a>.` : 'Jobs start by their schedule, or with “Run now”.'}</p></section>`}
    <ul class="sessions">${rows.map((session) => html`<li key=${session.sessionId}><${SessionCard} session=${session} /></li>`)}</ul>
    ${
      ended.length > 0 &&
      html`<${Section} title="Ended since this page was opened">
      <${Table} caption="Ended sessions" rows=${ended} keyOf=${keyOf} columns=${ENDED_COLUMNS} empty="" />
    <//>`
    }
  `;
}

/** Names of the jobs that run, as one text. @param {{ jobs: ReadonlyMap<string, JobRow> }} state */
function runningJobsOf({ jobs }) {
  return [...jobs.values()]
    .filter(({ runId }) => runId !== undefined)
    .map(({ name }) => name)
    .join(', ');
}

/** @param {LiveSession} session */
const keyOf = ({ sessionId }) => sessionId;

/** @type {readonly import('../parts/table.js').Column<LiveSession>[]} */
const ENDED_COLUMNS = [
  { label: 'VM', cell: (session) => html`<${VmOf} session=${session} />` },
  { label: 'Job', cell: ({ jobName = '' }) => html`<${Name} text=${jobName} />` },
  { label: 'Work', cell: (session) => workOf(session) },
  { label: 'Result', cell: ({ result = 'done' }) => html`<${StateBadge} state=${result} />` },
  { label: 'Started', cell: ({ startedAt }) => html`<${Time} iso=${startedAt} />` },
  { label: 'Read', kind: 'number', cell: ({ disks }) => html`<${Bytes} bytes=${readOf(disks)} />` },
];

/** What a session has done. One that ended early may not tell it. @param {LiveSession} session */
function workOf({ phase, disks }) {
  if (disks.some(({ mode }) => mode !== undefined)) return 'backup';
  return WORK_WORDS[phase] ?? '–';
}

/** @param {readonly LiveDisk[]} disks */
function readOf(disks) {
  return disks.reduce((sum, { readBytes }) => sum + readBytes, 0);
}

/**
 * The VM of a session in its job: by id, and by name where the id is unknown.
 *
 * @param {ReadonlyMap<string, VmRow>} vms
 * @param {LiveSession} session
 */
function rowOf(vms, { jobName, vmId: id, vmName }) {
  if (jobName === undefined) return undefined;
  return vms.get(vmId({ jobName, vmKey: id })) ?? vms.get(vmId({ jobName, vmKey: vmName }));
}

/** @param {{ session: LiveSession }} props */
function VmOf({ session }) {
  const row = useStore(({ vms }) => rowOf(vms, session));
  const name = html`<${Name} text=${session.vmName} />`;
  return row ? html`<a href=${vmLink(row)}>${name}</a>` : name;
}

/** @param {{ session: LiveSession }} props */
export function SessionCard({ session }) {
  const { vmName, jobName, runId, taskId, worker, startedAt, phase, waitsFor } = session;
  const { disks, containers = [] } = session;
  const { doneBytes, dataBytes } = totalsOf(session);
  const leftMs = timeLeftMs(session);
  const rate = session.readBytesPerSecond;
  return html`<article class="card session" aria-label=${`Session of ${vmName}`}>
    <div class="row">
      <h2><${VmOf} session=${session} /></h2>
      <${Badge} kind="info" icon="running">${PHASE_WORDS[phase]}<//>
      ${waitsFor && html`<p class="wait" title=${waitsFor}><${Badge} kind="warn" icon="late">waits<//> <bdi>${waitsFor}</bdi></p>`}
      <div class="actions">
        ${runId !== undefined && jobName !== undefined && html`<${StopRun} runId=${runId} jobName=${jobName} label="Stop run" />`}
        ${taskId !== undefined && html`<a href=${linkTo('tasks', taskId)}>Its task</a>`}
      </div>
    </div>
    <p class="soft small facts-line">
      ${jobName !== undefined && html`<span>Job <a href=${linkTo('jobs', jobName)}><bdi>${jobName}</bdi></a></span>`}
      <span>${worker === undefined ? 'in the daemon' : html`on <bdi>${worker}</bdi>`}</span>
      <span>since <${Time} iso=${startedAt} /></span>
    </p>
    <div class="total">
      <${ProgressBar} label=${`Progress of ${vmName}`} part=${doneBytes} whole=${dataBytes} />
      <p class="figures"><span><b>${bytesText(doneBytes)}</b>${dataBytes !== undefined && ` of ${bytesText(dataBytes)}, ${percentOf(doneBytes, dataBytes)} %`}</span>
        <span>${rate !== undefined && `${bytesText(Math.round(rate))}/s`}</span>
        <span>${leftMs !== undefined && leftMs >= 1000 && `${leftText(leftMs)} left`}</span></p>
    </div>
    ${disks.length > 0 && html`<ul class="disks">${disks.map((disk) => html`<${DiskLine} key=${disk.diskId} disk=${disk} />`)}</ul>`}
    ${containers.length > 0 && html`<ul class="disks">${containers.map((file) => html`<${FileLine} key=${file.fileName} file=${file} />`)}</ul>`}
  </article>`;
}

/** @param {{ disk: LiveDisk }} props */
function DiskLine({ disk }) {
  const { alias, mode, sizeBytes, dataBytes, doneBytes, result } = disk;
  const bytes =
    dataBytes === undefined
      ? bytesText(doneBytes)
      : `${bytesText(doneBytes)} of ${bytesText(dataBytes)}`;
  return html`<li>
    <span class="disk-name"><${Name} text=${alias} /></span>
    <span class="soft small">${mode !== undefined && `${mode}, `}${bytesText(sizeBytes)} disk</span>
    <${ProgressBar} label=${`Disk ${alias}`} part=${result === 'done' ? 1 : doneBytes} whole=${result === 'done' ? 1 : dataBytes} />
    <span class="small number">${result && result !== 'done' ? html`<${StateBadge} state=${result} />` : bytes}</span>
  </li>`;
}

/** A file that verify reads. @param {{ file: LiveContainer }} props */
function FileLine({ file: { fileName, checkedBlocks, totalBlocks } }) {
  return html`<li>
    <span class="disk-name"><${Name} text=${fileName} /></span>
    <${ProgressBar} label=${`File ${fileName}`} part=${checkedBlocks} whole=${totalBlocks} />
    <span class="small number">${checkedBlocks} of ${counted(totalBlocks, 'block')}</span>
  </li>`;
}

/** The session of a task, while it runs. @param {{ sessionId: string | undefined }} props */
export function SessionOf({ sessionId }) {
  const session = useStore(({ sessions }) => sessions.get(sessionId ?? ''));
  return session && html`<${SessionCard} session=${session} />`;
}
