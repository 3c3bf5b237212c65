// @ts-check
/** A restore point: what it holds, where its changes lie, and what can be made of it. */
/** @import { Chain, DiskMap, PointName, PointRow } from '../../contract.ts' */
import { Bytes, Facts, Lock, Name, Section, Time, ViewHead } from '../parts/basics.js';
import { BlockMap, Legend, MAP_LEGEND } from '../parts/charts.js';
import { Loadable, useLoaded } from '../parts/loaded.js';
import { Table } from '../parts/table.js';
import { ApiError, readChain, readMap } from '../state/api.js';
import { vmLink } from '../state/router.js';
import { useStore, vmId } from '../state/store.js';
import { html } from '../vendor/preact.js';
import { PointActions } from './actions.js';
import { pointLink, PointState } from './vm.js';

/** @param {{ name: PointName }} props */
export function Point({ name }) {
  const { jobName, vmKey, pointId } = name;
  const lastSuccessAt = useStore(({ vms }) => vms.get(vmId(name))?.lastSuccessAt);
  const chain = useLoaded(() => readChain(jobName, vmKey), [jobName, vmKey, lastSuccessAt]);
  const point = chain.data?.points.find((one) => one.pointId === pointId);
  const vmName = chain.data?.vmName ?? vmKey;
  const title = point ? `Point ${point.number} of ${vmName}` : 'Restore point';
  return html`
    <${ViewHead} title=${title} kicker=${html`<a href="#/vms">VMs</a> › <a href=${vmLink(name)}><${Name} text=${vmName} /></a>`}>${point ? html`Point ${point.number} of <${Name} text=${vmName} />` : title}<//>
    <${Loadable} of=${chain} show=${(/** @type {Chain} */ data) => html`<${PointParts} name=${name} chain=${data} />`} />
  `;
}

/** @param {{ name: PointName, chain: Chain }} props */
function PointParts({ name, chain }) {
  const point = chain.points.find(({ pointId }) => pointId === name.pointId);
  if (!point)
    return html`<p class="card">This point is gone: it was pruned, or merged into a newer one.</p>`;
  return html`
    <${PointActions} name=${name} point=${point} vmName=${chain.vmName} />
    <${Section} title="What it is"><${PointFacts} point=${point} chain=${chain} /><//>
    <${Section} title="Disks"><${DiskTable} disks=${point.disks} /><//>
    ${point.hasMap && html`<${Maps} name=${name} />`}
    ${!point.hasMap && html`<${Section} title="Where the changes lie"><p class="soft">No report of the session that made this point is kept, so there is no map.</p><//>`}
  `;
}

/** @param {{ point: PointRow, chain: Chain }} props */
function PointFacts({ point, chain }) {
  const parent = chain.points.find(({ pointId }) => pointId === point.parentPointId);
  return html`<${Facts} facts=${[
    ['Made', html`<${Time} iso=${point.createdAt} />`],
    ['Type', point.type],
    ['Builds on', parent && html`<a href=${pointLink(chain, parent)}>point ${parent.number}</a>`],
    ['State', html`<${PointState} isDamaged=${point.isDamaged} />`],
    ['Locked until', point.lockedUntil && html`<${Lock} until=${point.lockedUntil} form="time" />`],
    ['Size of the file', html`<${Bytes} bytes=${point.fileBytes} />`],
    ['File', html`<code><bdi>${point.fileName}</bdi></code>`],
    ['Id', html`<code>${point.pointId}</code>`],
  ]} />`;
}

/** @typedef {PointRow['disks'][number]} PointDisk */

/** @param {{ disks: PointRow['disks'] }} props */
function DiskTable({ disks }) {
  return html`<${Table} caption="Disks of the point" rows=${disks} keyOf=${(/** @type {PointDisk} */ { diskId }) => diskId}
    empty="No disk. The point holds the configuration of the VM."
    columns=${[
      {
        label: 'Disk',
        cell: (/** @type {PointDisk} */ { alias }) => html`<${Name} text=${alias} />`,
      },
      {
        label: 'Size',
        kind: 'number',
        cell: (/** @type {PointDisk} */ { sizeBytes }) => html`<${Bytes} bytes=${sizeBytes} />`,
      },
      {
        label: 'Id',
        kind: 'wide',
        cell: (/** @type {PointDisk} */ { diskId }) => html`<code>${diskId}</code>`,
      },
    ]} />`;
}

/** Maps of the disks. @param {{ name: PointName }} props */
function Maps({ name }) {
  const maps = useLoaded(() => mapsOf(name), [name.jobName, name.vmKey, name.pointId]);
  return html`<${Section} title="Where the changes lie" intro="Each disk from its beginning to its end.">
    <${Loadable} of=${maps} show=${(/** @type {readonly DiskMap[]} */ all) => html`
      ${all.length === 0 && html`<p class="soft">The report of the session that made this point is gone.</p>`}
      ${all.map((map) => html`<${BlockMap} key=${map.diskId} map=${map} />`)}
      ${all.length > 0 && html`<${Legend} entries=${MAP_LEGEND} />`}
    `} />
  <//>`;
}

/** A report that history has dropped meanwhile is no problem. @param {PointName} name */
async function mapsOf(name) {
  return readMap(name).catch((error) => {
    if (ApiError.of(error).status === 404) return /** @type {readonly DiskMap[]} */ ([]);
    throw error;
  });
}
