// @ts-check
/** What an operator starts and stops. A user who may only read sees none of it. */
/** @import { PointName, PointRow, TaskRequest, VmRow } from '../../contract.ts' */
import { DialogButton } from '../parts/dialog.js';
import { startRun, startTask, stopRun, stopTask } from '../state/api.js';
import { goTo, linkTo } from '../state/router.js';
import { useIsOperator, useStore } from '../state/store.js';
import { showProblem, showToast } from '../state/toasts.js';
import { html, useState } from '../vendor/preact.js';
import { bytesText, counted } from '../words.js';

/** @param {{ vm: VmRow, tabIndex?: number, isPrimary?: boolean }} props */
export function BackupNow({ vm, tabIndex, isPrimary = false }) {
  const [isBusy, setIsBusy] = useState(false);
  const isOperator = useIsOperator();
  if (!isOperator) return undefined;
  const { vmName, jobName, vmKey } = vm;
  async function start() {
    if (isBusy) return;
    setIsBusy(true);
    try {
      await startRun(jobName, [vmKey]);
      showToast({ kind: 'good', text: `The backup of ${vmName} begins`, href: linkTo('sessions') });
    } catch (error) {
      showProblem(error);
    }
    setIsBusy(false);
  }
  return html`<button type="button" class=${isPrimary ? 'primary' : ''} tabindex=${tabIndex} aria-disabled=${isBusy} aria-label=${`Back up now: ${vmName}`} onClick=${start}>Back up now</button>`;
}

/** @param {{ jobName: string, vmCount: number }} props */
export function RunJob({ jobName, vmCount }) {
  const isOperator = useIsOperator();
  if (!isOperator) return undefined;
  const start = async () => {
    await startRun(jobName);
    showToast({ kind: 'good', text: `The job ${jobName} begins`, href: linkTo('sessions') });
  };
  return html`<${DialogButton} label="Run now" name=${`Run now: ${jobName}`} title=${html`Run <bdi>${jobName}</bdi> now?`} submitLabel="Run now" onSubmit=${start}>
    <p>${vmCount > 0 ? counted(vmCount, 'VM') : 'All VMs of the job'} will be backed up, as by the schedule.</p>
  <//>`;
}

/** @param {{ runId: string, jobName: string, label?: string }} props */
export function StopRun({ runId, jobName, label = 'Stop' }) {
  const isOperator = useIsOperator();
  const sessions = useStore((state) => state.sessions);
  if (!isOperator) return undefined;
  const count = [...sessions.values()].filter((session) => session.runId === runId).length;
  const stop = async () => {
    await stopRun(runId);
    showToast({ kind: 'info', text: `The run of ${jobName} is being stopped` });
  };
  return html`<${DialogButton} label=${label} name=${`${label}: ${jobName}`} title=${html`Stop the run of <bdi>${jobName}</bdi>?`} submitLabel="Stop the run" isDanger onSubmit=${stop}>
    <p>${counted(count, 'session')} will be cancelled in order, and waiting VMs are not backed up. Points of VMs that are done stay.</p>
  <//>`;
}

/** @param {{ taskId: string, title: string, isExport: boolean }} props */
export function StopTask({ taskId, title, isExport }) {
  const isOperator = useIsOperator();
  if (!isOperator) return undefined;
  const stop = async () => {
    await stopTask(taskId);
  };
  return html`<${DialogButton} label="Stop" name=${`Stop: ${title}`} title=${html`Stop: <bdi>${title}</bdi>?`} submitLabel="Stop it" isDanger onSubmit=${stop}>
    <p>${isExport ? 'Its clients lose their connection.' : 'What it has made so far is not complete.'}</p>
  <//>`;
}

/** Starts a task, and shows it. @param {TaskRequest} request */
async function begin(request) {
  const { taskId } = await startTask(request);
  goTo(linkTo('tasks', taskId));
}

/** @param {{ disks: PointRow['disks'], kind: 'checkbox' | 'radio' }} props */
function DiskChoice({ disks, kind }) {
  return html`<fieldset><legend>${kind === 'radio' ? 'Disk' : 'Disks'}</legend>
    ${disks.map(
      ({ diskId, alias, sizeBytes }, index) => html`<label class="choice" key=${diskId}>
      <input type=${kind} name="disk" value=${diskId} defaultChecked=${kind === 'checkbox' || index === 0} autofocus=${index === 0} />
      <bdi class="name" title=${alias}>${alias}</bdi> <span class="soft">${bytesText(sizeBytes)}</span>
    </label>`,
    )}
  </fieldset>`;
}

/** @param {FormData} fields @param {string} name */
function textOf(fields, name) {
  const value = fields.get(name);
  return typeof value === 'string' ? value.trim() : '';
}

/** @param {FormData} fields */
function chosenDisks(fields) {
  const diskIds = fields.getAll('disk').map(String);
  if (diskIds.length === 0) throw new Error('Choose at least one disk');
  return diskIds;
}

/** @param {FormData} fields */
function clusterOf(fields) {
  const cluster = textOf(fields, 'cluster');
  return cluster === '' ? {} : { cluster };
}

/** @param {{ name: PointName, point: PointRow, vmName: string }} props */
export function PointActions({ name, point, vmName }) {
  const isOperator = useIsOperator();
  const canRestoreFiles = useStore(({ me }) => me?.restoreFolder === true);
  if (!isOperator) return undefined;
  const { disks, number } = point;
  const what = html`point ${number} of <bdi>${vmName}</bdi>`;
  const toFiles = async (/** @type {FormData} */ fields) =>
    begin({ type: 'restoreFiles', ...name, diskIds: chosenDisks(fields) });
  const toVm = async (/** @type {FormData} */ fields) =>
    begin({
      type: 'restoreVm',
      ...name,
      newName: textOf(fields, 'newName'),
      storageDomain: textOf(fields, 'storageDomain'),
      ...clusterOf(fields),
    });
  const check = async () => begin({ type: 'verify', ...name });
  const serve = async (/** @type {FormData} */ fields) =>
    begin({ type: 'export', ...name, diskId: chosenDisks(fields)[0] ?? '' });
  return html`<div class="actions">
    ${
      canRestoreFiles &&
      disks.length > 0 &&
      html`<${DialogButton} label="Restore disks to files" title=${html`Restore disks of ${what}`} submitLabel="Restore" isPrimary onSubmit=${toFiles}>
      <p class="soft">They become raw images in a new folder below the restore folder, on the machine of the daemon.</p>
      <${DiskChoice} disks=${disks} kind="checkbox" />
    <//>`
    }
    <${DialogButton} label="Restore as a new VM" title=${html`New VM from ${what}`} submitLabel="Restore" onSubmit=${toVm}>
      <label for="new-name">Name of the new VM</label>
      <input id="new-name" name="newName" required maxlength="255" autocomplete="off" defaultValue=${`${vmName}-restored`.slice(-255)} autofocus />
      <label for="storage-domain">Storage domain for its disks</label>
      <input id="storage-domain" name="storageDomain" required maxlength="255" autocomplete="off" />
      <label for="cluster">Cluster, if the engine has several</label>
      <input id="cluster" name="cluster" maxlength="255" autocomplete="off" />
    <//>
    <${DialogButton} label="Verify" title=${html`Verify ${what}?`} submitLabel="Verify" onSubmit=${check}>
      <p>Every block of the point and of the points before it in its chain is read and checked.</p>
    <//>
    ${
      disks.length > 0 &&
      html`<${DialogButton} label="Export by NBD" title=${html`Export a disk of ${what}`} submitLabel="Export" onSubmit=${serve}>
      <p class="soft">The disk is served on the machine of the daemon, for reading, until you stop it.</p>
      <${DiskChoice} disks=${disks} kind="radio" />
    <//>`
    }
  </div>
  ${!canRestoreFiles && html`<p class="soft small">Restore to files is off: the daemon was started without <code>--restore-folder</code>.</p>`}`;
}
