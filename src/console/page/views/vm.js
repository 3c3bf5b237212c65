// @ts-check
/** A VM of a job: its state, and its chain as a timeline and as a table. */
/** @import { Chain, PointRow, VmRow } from '../../contract.ts' */
import {
  Age,
  Badge,
  Bytes,
  HealthBadge,
  Lock,
  Name,
  OutcomeBadge,
  Section,
  Tiles,
  Time,
  ViewHead,
} from '../parts/basics.js';
import { PointColumn } from '../parts/charts.js';
import { Loadable, useLoaded } from '../parts/loaded.js';
import { Table } from '../parts/table.js';
import { readChain } from '../state/api.js';
import { linkTo } from '../state/router.js';
import { useStore, vmId } from '../state/store.js';
import { html, useLayoutEffect, useRef, useState } from '../vendor/preact.js';
import { bytesText, counted, durationText, timeText } from '../words.js';
import { BackupNow } from './actions.js';
import { SessionOf } from './sessions.js';

/** States that a message or an error explains. @type {ReadonlySet<string>} */
const WITH_REASON = new Set(['damaged', 'failed', 'warning']);

/** @param {{ jobName: string, vmKey: string }} props */
export function Vm({ jobName, vmKey }) {
  const vm = useStore(({ vms }) => vms.get(vmId({ jobName, vmKey })));
  const chain = useLoaded(() => readChain(jobName, vmKey), [jobName, vmKey, vm?.lastSuccessAt]);
  const vmName = vm?.vmName ?? chain.data?.vmName ?? vmKey;
  return html`
    <${ViewHead} title=${vmName} kicker=${html`<a href="#/vms">VMs</a> › job <a href=${linkTo('jobs', jobName)}><bdi>${jobName}</bdi></a>`}
      mark=${vm && html`<${HealthBadge} health=${vm.health} /><div class="actions">${vm.sessionId === undefined && html`<${BackupNow} vm=${vm} isPrimary />`}</div>`}><${Name} text=${vmName} /><//>
    ${vm && html`<${VmFacts} vm=${vm} />`}
    ${vm && WITH_REASON.has(vm.health) && html`<p class="soft small reason">The reason is in the report of its run: see the <a href=${linkTo('jobs', jobName)}>runs of the job</a>.</p>`}
    <${SessionOf} sessionId=${vm?.sessionId} />
    <${Section} title="Restore points"><${Loadable} of=${chain} show=${(/** @type {Chain} */ data) => html`<${ChainParts} chain=${data} />`} /><//>
  `;
}

/** @param {{ vm: VmRow }} props */
function VmFacts({ vm }) {
  const { lastSuccessAt, lastOutcome, lastDurationSeconds } = vm;
  return html`<${Tiles} facts=${[
    ['Last session', html`<${OutcomeBadge} outcome=${lastOutcome} />`],
    ['Age of last point', html`<${Age} iso=${lastSuccessAt} />`],
    ['Duration', durationText(lastDurationSeconds) || '–'],
    ['Read', html`<${Bytes} bytes=${vm.lastReadBytes} />`],
    ['Stored', html`<${Bytes} bytes=${vm.lastStoredBytes} />`],
    ['Locked until', html`<${Lock} until=${vm.lockedUntil} />`],
  ]} />`;
}

/** @param {Chain} chain @param {PointRow} point */
export function pointLink({ jobName, vmKey }, { pointId }) {
  return linkTo('jobs', jobName, 'vms', vmKey, 'points', pointId);
}

/** @param {PointRow} point @param {number} nowMs */
function isLocked({ lockedUntil }, nowMs) {
  return lockedUntil !== undefined && Date.parse(lockedUntil) > nowMs;
}

/** @param {{ chain: Chain }} props */
function ChainParts({ chain }) {
  const { points } = chain;
  if (points.length === 0) return html`<p class="soft">There is no restore point yet.</p>`;
  const bytes = points.reduce((sum, { fileBytes }) => sum + fileBytes, 0);
  return html`
    <p class="intro">${counted(points.length, 'point')}, ${bytesText(bytes)} in all. The height of a column is the size of its file.</p>
    <${Timeline} chain=${chain} />
    <${PointTable} chain=${chain} />
  `;
}

/**
 * Points as columns, oldest first. Left and right move between them.
 *
 * @param {{ chain: Chain }} props
 */
function Timeline({ chain }) {
  const { points } = chain;
  const nowMs = useStore((state) => state.nowMs);
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const [active, setActive] = useState(points.length - 1);
  const mostBytes = Math.max(...points.map(({ fileBytes }) => fileBytes));
  useLayoutEffect(() => {
    if (list.current) list.current.scrollLeft = list.current.scrollWidth;
  }, [points.length]);

  /** @param {KeyboardEvent} event */
  function move(event) {
    /** @type {Readonly<Record<string, number>>} */
    const targets = {
      ArrowLeft: active - 1,
      ArrowRight: active + 1,
      Home: 0,
      End: points.length - 1,
    };
    const target = targets[event.key];
    if (target === undefined || event.altKey) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(points.length - 1, target));
    setActive(next);
    list.current?.querySelectorAll('a')[next]?.focus();
  }

  const column = (
    /** @type {PointRow} */ point,
    /** @type {number} */ index,
  ) => html`<li key=${point.pointId}>
    <a href=${pointLink(chain, point)} tabindex=${index === active ? 0 : -1} title=${pointText(point, nowMs)} onFocus=${() => setActive(index)}>
      <span class="sr">${pointText(point, nowMs)}</span>
        <span class="signs" aria-hidden="true">${point.isDamaged && html`<b class="sign-bad">✕</b>`}${isLocked(point, nowMs) && html`<${LockSign} />`}</span>
      <${PointColumn} point=${point} mostBytes=${mostBytes} />
      <span class="word" aria-hidden="true">${point.type === 'full' ? 'full' : 'inc'}</span><span class="soft" aria-hidden="true">${point.number}</span>
    </a>
  </li>`;
  return html`<ol class="timeline" ref=${list} aria-label="Points, oldest first. Left and right move between them." onKeyDown=${move}>${points.map(column)}</ol>
    <div class="axis" aria-hidden="true"><span>${timeText(points[0]?.createdAt ?? '', 'date')}</span><span>${timeText(points.at(-1)?.createdAt ?? '', 'date')}</span></div>
    <${ChainLegend} />`;
}

function LockSign() {
  return html`<svg viewBox="0 0 16 16"><path class="f-lock" d="M3.6 7h8.8v7H3.6z" /><path d="M5.4 7V5a2.6 2.6 0 0 1 5.2 0v2" fill="none" stroke="currentColor" stroke-width="1.8" /></svg>`;
}

function ChainLegend() {
  return html`<ul class="legend">
    <li><svg viewBox="0 0 16 16" aria-hidden="true"><rect class="f-full" x="1" width="14" height="16" /></svg>full</li>
    <li><svg viewBox="0 0 16 16" aria-hidden="true"><rect class="f-increment" x="4" width="8" height="16" /></svg>inc: increment</li>
    <li><b class="sign-bad" aria-hidden="true">✕</b>damaged</li>
    <li><span class="sign" aria-hidden="true"><${LockSign} /></span>locked</li>
  </ul>`;
}

/** @param {PointRow} point @param {number} nowMs */
function pointText(point, nowMs) {
  const { number, type, fileBytes, createdAt, isDamaged, lockedUntil = '' } = point;
  const parts = [`Point ${number}`, type, bytesText(fileBytes), timeText(createdAt)];
  if (isDamaged) parts.push('damaged');
  if (isLocked(point, nowMs)) parts.push(`locked until ${timeText(lockedUntil, 'date')}`);
  return parts.join(', ');
}

/** @param {{ chain: Chain }} props */
function PointTable({ chain }) {
  return html`<${Table} caption="Restore points, newest first" rows=${chain.points.toReversed()} keyOf=${(/** @type {PointRow} */ { pointId }) => pointId} empty=""
    columns=${[
      {
        label: 'Point',
        cell: (/** @type {PointRow} */ point) =>
          html`<a href=${pointLink(chain, point)}>Point ${point.number}</a>`,
      },
      {
        label: 'Made',
        cell: (/** @type {PointRow} */ { createdAt }) => html`<${Time} iso=${createdAt} />`,
      },
      { label: 'Type', cell: (/** @type {PointRow} */ { type }) => type },
      {
        label: 'File',
        kind: 'number',
        cell: (/** @type {PointRow} */ { fileBytes }) => html`<${Bytes} bytes=${fileBytes} />`,
      },
      { label: 'Disks', kind: 'number', cell: (/** @type {PointRow} */ { disks }) => disks.length },
      {
        label: 'State',
        cell: (/** @type {PointRow} */ { isDamaged }) =>
          html`<${PointState} isDamaged=${isDamaged} />`,
      },
      {
        label: 'Locked until',
        cell: (/** @type {PointRow} */ { lockedUntil }) => html`<${Lock} until=${lockedUntil} />`,
      },
    ]} />`;
}

/** @param {{ isDamaged: boolean | undefined }} props */
export function PointState({ isDamaged }) {
  if (isDamaged) return html`<${Badge} kind="bad" icon="damaged">damaged<//>`;
  return html`<span class="soft">no known damage</span>`;
}
