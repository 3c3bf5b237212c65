// @ts-check
/** Repositories, and workers. */
/** @import { RepositoryRow, WorkerRow } from '../../contract.ts' */
import { Age, Badge, Facts, Name, Time, ViewHead } from '../parts/basics.js';
import { FillBar, GrowthChart } from '../parts/charts.js';
import { Loadable, useEvery, useLoaded } from '../parts/loaded.js';
import { Table } from '../parts/table.js';
import { readRepositories, readWorkers } from '../state/api.js';
import { html } from '../vendor/preact.js';
import { bytesText, counted, percentOf } from '../words.js';

const REPOSITORIES_MS = 60_000;
const WORKERS_MS = 10_000;
const NEARLY_FULL_PERCENT = 90;

export function Repositories() {
  const repositories = useLoaded(readRepositories, []);
  useEvery(repositories.reload, REPOSITORIES_MS);
  return html`
    <${ViewHead} title="Repositories" />
    <${Loadable} of=${repositories} show=${(/** @type {readonly RepositoryRow[]} */ rows) => html`<ul class="grid">${rows.map((row) => html`<li key=${row.name}><${RepositoryCard} row=${row} /></li>`)}</ul>`} />
  `;
}

/** @param {RepositoryRow} row */
function isNearlyFull({ storedBytes, freeBytes }) {
  return (
    freeBytes !== undefined &&
    percentOf(storedBytes, storedBytes + freeBytes) >= NEARLY_FULL_PERCENT
  );
}

/** @param {{ row: RepositoryRow }} props */
function RepositoryCard({ row }) {
  const { name, place, vmCount, pointCount, storedBytes, freeBytes, growth, problem } = row;
  return html`<article class="card" aria-label=${`Repository ${name}`}>
    <div class="row"><h2><${Name} text=${name} /></h2>${problem !== undefined && html`<${Badge} kind="bad" icon="failed">not readable<//>`}
      ${isNearlyFull(row) && html`<${Badge} kind="warn" icon="warning">nearly full<//>`}</div>
    <p class="soft small"><code><bdi>${place}</bdi></code></p>
    ${problem !== undefined && html`<p class="note bad">${problem}</p>`}
    <div class="fill"><p class="figures"><b>${bytesText(storedBytes)}</b><span class="soft">${freeBytes === undefined ? 'free space is not told' : `${bytesText(freeBytes)} free, ${percentOf(storedBytes, storedBytes + freeBytes)} % full`}</span></p>
      <${FillBar} storedBytes=${storedBytes} freeBytes=${freeBytes} /></div>
    <${Facts} facts=${[['VMs', vmCount.toLocaleString()], ['Points', pointCount.toLocaleString()]]} />
    <${GrowthChart} growth=${growth} name=${name} />
  </article>`;
}

/** @type {readonly import('../parts/table.js').Column<WorkerRow>[]} */
const WORKER_COLUMNS = [
  { label: 'Worker', cell: ({ name }) => html`<${Name} text=${name} />` },
  {
    label: 'Host',
    cell: ({ host, pid }) => html`<bdi>${host}</bdi> <span class="soft">pid ${pid}</span>`,
  },
  {
    label: 'Running',
    kind: 'number',
    cell: ({ runningVms, parallelVms }) => `${runningVms.length} of ${parallelVms}`,
  },
  {
    label: 'VMs',
    kind: 'wide',
    cell: ({ runningVms }) => html`<${NameList} names=${runningVms} />`,
  },
  { label: 'Labels', cell: ({ labels }) => html`<${NameList} names=${labels} />` },
  { label: 'Version', cell: ({ productVersion }) => productVersion },
  { label: 'Started', cell: ({ startedAt }) => html`<${Time} iso=${startedAt} />` },
  { label: 'Seen', cell: ({ seenAt }) => html`<${Age} iso=${seenAt} isPast />` },
];

/** @param {{ names: readonly string[] }} props */
function NameList({ names }) {
  if (names.length === 0) return html`<span class="soft">–</span>`;
  return html`<ul class="names">${names.map((name) => html`<li key=${name}><${Name} text=${name} /></li>`)}</ul>`;
}

export function Workers() {
  const workers = useLoaded(readWorkers, []);
  useEvery(workers.reload, WORKERS_MS);
  const count = workers.data?.length;
  return html`
    <${ViewHead} title="Workers" mark=${count !== undefined && html`<span class="soft">${counted(count, 'worker')}</span>`} />
    <section class="card"><${Loadable} of=${workers} show=${(/** @type {readonly WorkerRow[]} */ rows) => html`<${Table} caption="Workers" rows=${rows} columns=${WORKER_COLUMNS} keyOf=${(/** @type {WorkerRow} */ { name }) => name} empty="No worker is connected. A daemon without a queue runs sessions itself; one with a queue lets them wait for a worker." />`} /></section>
  `;
}
