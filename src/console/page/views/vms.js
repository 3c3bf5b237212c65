// @ts-check
/** All VMs: counts by state, search, order, and a list of which only the seen part is drawn. */
/** @import { VmRow } from '../../contract.ts' */
/** @import { SortKey } from './vmOrder.js' */
import {
  Age,
  Badge,
  Bytes,
  HealthBadge,
  Icon,
  KeepFocus,
  Lock,
  Name,
  ViewHead,
} from '../parts/basics.js';
import { useMedia, useRowWindow } from '../parts/rowWindow.js';
import { linkTo, setQuery, useRoute, vmLink } from '../state/router.js';
import { useStore, vmId } from '../state/store.js';
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from '../vendor/preact.js';
import { counted, durationText, HEALTH_WORDS, HEALTHS } from '../words.js';
import { BackupNow } from './actions.js';
import { countStates, found, ofJob, ordered, sortOf, withHealth } from './vmOrder.js';

const NARROW = '(max-width: 47.99rem)';
const ROW_REM = 2.75;
const CARD_REM = 8.5;
/** Rows that PageUp and PageDown jump. */
const PAGE_ROWS = 12;

/** @type {readonly (readonly [SortKey, string, string])[]} */
const COLUMNS = [
  ['name', 'Name', ''],
  ['job', 'Job', ''],
  ['state', 'State', ''],
  ['age', 'Last point', 'number'],
  ['duration', 'Duration', 'number'],
  ['read', 'Read', 'number'],
  ['stored', 'Stored', 'number'],
  ['lock', 'Locked until', ''],
];

/** The row that was opened last, so that the way back ends there. */
let openedId = '';

function takeOpenedId() {
  const id = openedId;
  openedId = '';
  return id;
}

export function Vms() {
  const all = useStore(({ vms }) => vms);
  const isLoaded = useStore((state) => state.isLoaded);
  const { query } = useRoute();
  const search = query.get('q') ?? '';
  const health = query.get('state') ?? '';
  const jobName = query.get('job') ?? '';
  const sort = query.get('sort') ?? 'name';
  const rows = useMemo(() => [...all.values()], [all]);
  const matching = useMemo(() => found(ofJob(rows, jobName), search), [rows, jobName, search]);
  const shown = useMemo(
    () => ordered(withHealth(matching, health), sort),
    [matching, health, sort],
  );
  const count =
    shown.length === rows.length
      ? counted(rows.length, 'VM')
      : `${shown.length} of ${counted(rows.length, 'VM')}`;
  return html`
    <${ViewHead} title="VMs" mark=${html`<span class="soft" role="status">${isLoaded && count}</span>`} />
    <${StateFilter} rows=${matching} health=${health} />
    <div class="tools">
      <${Search} value=${search} />
      <${JobChoice} jobName=${jobName} />
      <${SortChoice} sort=${sort} />
    </div>
    ${isLoaded && html`<${VmTable} rows=${shown} sort=${sort} />`}
    ${!isLoaded && html`<p class="loading soft" role="status">Loading …</p>`}
    ${isLoaded && rows.length === 0 && html`<p class="soft empty">No VM is known yet. VMs appear with the first run of their job: wait for its time, or <a href=${linkTo('jobs')}>run a job now</a>.</p>`}
    ${isLoaded && rows.length > 0 && shown.length === 0 && html`<p class="soft empty">No VM fits. <button type="button" onClick=${() => setQuery({ q: '', state: '', job: '' })}>Show all</button></p>`}
  `;
}

/** @param {{ rows: readonly VmRow[], health: string }} props */
function StateFilter({ rows, health }) {
  const counts = useMemo(() => countStates(rows), [rows]);
  /** @param {string} value @param {unknown} label @param {number} count @param {string} icon */
  const button = (
    value,
    label,
    count,
    icon,
  ) => html`<button type="button" key=${value} class="filter s-${value || 'all'} ${count === 0 ? 'is-empty' : ''}" aria-pressed=${health === value} onClick=${() => setQuery({ state: health === value ? '' : value })}>
    <b>${count}</b><span>${icon && html`<${Icon} name=${icon} />`}${label}</span>
  </button>`;
  return html`<div class="filters" role="group" aria-label="Show VMs by state">
    ${button('', 'all', rows.length, '')}
    ${HEALTHS.toReversed().map((name) => button(name, HEALTH_WORDS[name], counts[name], name))}
    ${button('running', 'running', counts.running, 'running')}
  </div>`;
}

/** Goes from the search to the list. @param {KeyboardEvent} event */
function enterList(event) {
  if (event.key !== 'ArrowDown' && event.key !== 'Enter') return;
  event.preventDefault();
  /** @type {HTMLElement | null} */ (document.querySelector('.vms [tabindex="0"]'))?.focus();
}

/** @param {{ value: string }} props */
function Search({ value }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => {
    const listen = (/** @type {KeyboardEvent} */ event) => {
      const isTyping =
        event.target instanceof Element && event.target.closest('input, select, textarea, dialog');
      if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || isTyping) return;
      event.preventDefault();
      field.current?.focus();
    };
    addEventListener('keydown', listen);
    return () => removeEventListener('keydown', listen);
  }, []);
  return html`<div class="search">
    <label for="search" class="sr">Search VMs by name, job or id. Arrow down goes to the list.</label>
    <input id="search" type="search" ref=${field} value=${value} placeholder="Search name, job or id" autocomplete="off" spellcheck="false"
      onInput=${(/** @type {InputEvent} */ event) => setQuery({ q: /** @type {HTMLInputElement} */ (event.target).value })} onKeyDown=${enterList} />
    <kbd aria-hidden="true">/</kbd>
  </div>`;
}

/** @param {{ jobName: string }} props */
function JobChoice({ jobName }) {
  const jobs = useStore((state) => state.jobs);
  return html`<div class="choice-of">
    <label for="job">Job</label>
    <select id="job" onChange=${(/** @type {Event} */ event) => setQuery({ job: /** @type {HTMLSelectElement} */ (event.target).value })}>
      <option value="" selected=${jobName === ''}>all jobs</option>
      ${[...jobs.keys()].map((name) => html`<option key=${name} value=${name} selected=${name === jobName}>${name}</option>`)}
    </select>
  </div>`;
}

/** Order for narrow screens, which have no row of column heads. @param {{ sort: string }} props */
function SortChoice({ sort }) {
  const { key, isDescending } = sortOf(sort);
  return html`<div class="choice-of sort">
    <label for="sort">Order</label>
    <select id="sort" onChange=${(/** @type {Event} */ event) => setQuery({ sort: /** @type {HTMLSelectElement} */ (event.target).value })}>
      ${COLUMNS.map(([name, label]) => html`<option key=${name} value=${name} selected=${name === key}>${label}</option>`)}
    </select>
    <button type="button" aria-label="Other direction" aria-pressed=${isDescending} onClick=${() => setQuery({ sort: isDescending ? key : `-${key}` })}><${Icon} name=${isDescending ? 'down' : 'up'} /></button>
  </div>`;
}

/** @param {{ sort: string }} props */
function HeadRow({ sort }) {
  const { key, isDescending } = sortOf(sort);
  const direction = isDescending ? 'descending' : 'ascending';
  return html`<thead role="rowgroup"><tr role="row" aria-rowindex="1">
    ${COLUMNS.map(
      ([
        name,
        label,
        kind,
      ]) => html`<th role="columnheader" scope="col" key=${name} class="c-${name} ${kind}" aria-sort=${name === key ? direction : undefined}>
      <button type="button" class="head" onClick=${() => setQuery({ sort: name === key && !isDescending ? `-${name}` : name })}>${label}${name === key && html`<${Icon} name=${isDescending ? 'down' : 'up'} />`}</button>
    </th>`,
    )}
    <th role="columnheader" scope="col" class="c-action"><span class="sr">Now</span></th>
  </tr></thead>`;
}

const rootPx = () => Number.parseFloat(getComputedStyle(document.documentElement).fontSize);

/** @param {{ rows: readonly VmRow[], sort: string }} props */
function VmTable({ rows, sort }) {
  const isNarrow = useMedia(NARROW);
  const rowHeight = (isNarrow ? CARD_REM : ROW_REM) * rootPx();
  const { from, to, body } = useRowWindow(rows.length, rowHeight);
  const [activeId, setActiveId] = useState(takeOpenedId);
  const wasOpened = useRef(activeId !== '');
  const mustFocus = useRef(wasOpened.current);
  const active = Math.max(
    0,
    rows.findIndex((vm) => vmId(vm) === activeId),
  );

  useLayoutEffect(() => {
    if (!mustFocus.current) return;
    mustFocus.current = false;
    const row = body.current?.querySelector('[data-active]');
    row?.scrollIntoView({ block: wasOpened.current ? 'center' : 'nearest' });
    wasOpened.current = false;
    /** @type {HTMLElement | null | undefined} */ (row?.querySelector('a'))?.focus({
      preventScroll: true,
    });
  });

  /** @param {KeyboardEvent} event */
  function move(event) {
    /** @type {Readonly<Record<string, number>>} */
    const targets = {
      ArrowDown: active + 1,
      ArrowUp: active - 1,
      PageDown: active + PAGE_ROWS,
      PageUp: active - PAGE_ROWS,
      Home: 0,
      End: rows.length - 1,
    };
    const target = targets[event.key];
    if (target === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const vm = rows[Math.max(0, Math.min(rows.length - 1, target))];
    if (!vm) return;
    mustFocus.current = true;
    setActiveId(vmId(vm));
  }

  // The row with the focus stays, also when the page is scrolled away from it.
  const indexes = new Set([active, ...Array.from({ length: to - from }, (_, at) => from + at)]);
  const drawn = [...indexes].filter((index) => index < rows.length).sort((a, b) => a - b);
  return html`<table role="table" class="vms" aria-label="VMs" aria-rowcount=${rows.length + 1} aria-describedby="vms-hint">
    <caption id="vms-hint" class="sr">Arrow keys, page keys, Home and End move between rows. Tab goes to the action of a row.</caption>
    <${HeadRow} sort=${sort} />
    <tbody role="rowgroup" ref=${body} style=${{ height: `${rows.length * rowHeight}px` }} onKeyDown=${move}
      onFocusIn=${(/** @type {FocusEvent} */ event) => setActiveId(idOfRow(event.target))}>
      ${drawn.map((index) => {
        const vm = /** @type {VmRow} */ (rows[index]);
        return html`<${VmLine} key=${vmId(vm)} vm=${vm} index=${index} top=${index * rowHeight} isActive=${index === active} />`;
      })}
    </tbody>
  </table>`;
}

/** @param {EventTarget | null} target */
function idOfRow(target) {
  const row = target instanceof Element ? target.closest('tr') : null;
  return row?.dataset['id'] ?? '';
}

/** @param {{ vm: VmRow, index: number, top: number, isActive: boolean }} props */
function VmLine({ vm, index, top, isActive }) {
  const tabIndex = isActive ? 0 : -1;
  const { health, jobName, lastDurationSeconds: seconds, sessionId } = vm;
  return html`<tr role="row" aria-rowindex=${index + 2} data-id=${vmId(vm)} data-active=${isActive ? '' : undefined} class=${index % 2 ? 'odd' : ''} style=${{ transform: `translateY(${top}px)` }}>
    <th role="rowheader" scope="row" class="c-name"><a href=${vmLink(vm)} tabindex=${tabIndex} onClick=${() => (openedId = vmId(vm))}><${Name} text=${vm.vmName} /></a></th>
    <td role="cell" class="c-job"><${Name} text=${jobName} /></td>
    <td role="cell" class="c-state"><${HealthBadge} health=${health} /></td>
    <td role="cell" class="c-age number"><span class="label" aria-hidden="true">Last point </span><${Age} iso=${vm.lastSuccessAt} isPast /></td>
    <td role="cell" class="c-duration number">${seconds === undefined ? html`<span class="soft">–</span>` : durationText(seconds)}</td>
    <td role="cell" class="c-read number"><${Bytes} bytes=${vm.lastReadBytes} /></td>
    <td role="cell" class="c-stored number"><span class="label" aria-hidden="true">Stored </span><${Bytes} bytes=${vm.lastStoredBytes} /></td>
    <td role="cell" class="c-lock"><${Lock} until=${vm.lockedUntil} /></td>
    <td role="cell" class="c-action"><${KeepFocus}>${
      sessionId === undefined
        ? html`<${BackupNow} vm=${vm} tabIndex=${tabIndex} />`
        : html`<a class="live" href=${linkTo('sessions')} tabindex=${tabIndex} aria-label=${`running: ${vm.vmName}`}><${Badge} kind="info" icon="running">running<//></a>`
    }<//></td>
  </tr>`;
}
