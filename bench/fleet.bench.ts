/** One planner of many VMs: its plan, its queue, and what a session asks of the engine. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { formatBytes } from '../src/core/units.ts';
import { BenchChild, callOnce, type ChildAnswer } from './childProcess.ts';
import { measureQueues } from './fleetQueue.ts';
import type { RequestCounts } from './fleetLab.ts';
import type { PlanAnswer, RunAnswer, StateAnswer } from './fleetWork.ts';
import { removeAll } from './programs.ts';
import type { Bench, Topic } from './suite.ts';

const HOSTS = 40;
const DOMAINS = 10;
const LIMITS = '{ parallelVms: 200, perHost: 4, perStorageDomain: 12 }';
/** Least duration of a session that only lasts. */
const LEAST_MS = 100;

interface Fleet {
  readonly lab: BenchChild;
  readonly folder: string;
  readonly vms: number;
}

async function withFleet(
  bench: Bench,
  vms: number,
  work: (fleet: Fleet) => Promise<void>,
): Promise<void> {
  const folder = path.join(bench.folder, `fleet${vms}`);
  await mkdir(folder);
  using lab = await BenchChild.start('./fleetLab.js');
  const shape = { hosts: HOSTS, domains: DOMAINS, limits: LIMITS };
  await lab.call('start', { folder, vms, ...shape });
  await work({ lab, folder, vms });
  await lab.call('stop', {});
  await removeAll(folder);
}

async function requestsOf({ lab }: Fleet): Promise<RequestCounts> {
  return (await lab.call('takeRequests', {})).value as RequestCounts;
}

function perVm(count: number, vms: number): string {
  return (count / vms).toFixed(count < vms ? 3 : 1);
}

/** CPU time and memory of the planner, with those of each VM. */
function costCells({ peakRssBytes }: ChildAnswer, cpuSeconds: number, heap: number, vms: number) {
  return [
    `${cpuSeconds.toFixed(2)} s`,
    `${((cpuSeconds * 1000) / vms).toFixed(2)} ms`,
    formatBytes(peakRssBytes),
    formatBytes(Math.max(0, heap)),
    formatBytes(Math.max(0, Math.round(heap / vms))),
  ];
}

const COSTS = ['CPU', 'CPU a VM', 'peak RSS', 'heap that is kept', 'a VM'];

async function planRow(fleet: Fleet): Promise<string[]> {
  const answer = await callOnce('./fleetWork.js', 'plan', { folder: fleet.folder });
  const { vms, hosts, domains, cpuSeconds, heapBytes } = answer.value as PlanAnswer;
  if (vms !== fleet.vms || hosts > HOSTS || domains > DOMAINS) throw new Error('a wrong plan');
  const { engine } = await requestsOf(fleet);
  const cells = costCells(answer, cpuSeconds, heapBytes, vms);
  return [String(vms), String(engine), perVm(engine, vms), ...cells];
}

function requireGood({ value }: ChildAnswer, { vms }: Fleet): RunAnswer {
  const run = value as RunAnswer;
  if (run.good !== vms) throw new Error(`${vms - run.good} sessions have failed`);
  return run;
}

async function measureQueue(bench: Bench, fleet: Fleet): Promise<void> {
  const given = { folder: fleet.folder, vms: fleet.vms, leastMs: bench.isQuick ? 1 : LEAST_MS };
  const answer = await callOnce('./fleetWork.js', 'queue', given);
  const run = requireGood(answer, fleet);
  await requestsOf(fleet);
  const cells = costCells(answer, answer.cpuSeconds, run.heapBytes, run.vms);
  bench.table({
    title: `A run of ${fleet.vms} VMs whose sessions only last (${HOSTS} hosts, ${DOMAINS} storage domains, limits ${LIMITS})`,
    header: ['VMs', 'most sessions at once', ...COSTS],
    rows: [[String(run.vms), String(run.mostRunning), ...cells]],
  });
  bench.table({
    title: 'Its queue over time',
    header: ['s', 'VMs that wait', 'sessions'],
    rows: run.looks.map((look) => [
      look.seconds.toFixed(1),
      String(look.waiting),
      String(look.running),
    ]),
  });
}

async function sessionRow(fleet: Fleet, kind: string): Promise<string[]> {
  const answer = await callOnce('./fleetWork.js', 'sessions', fleet);
  const { vms } = requireGood(answer, fleet);
  const { engine, polls, imageio } = await requestsOf(fleet);
  const counts = [engine - polls, polls, imageio].map((count) => perVm(count, vms));
  const { cpuSeconds, peakRssBytes } = answer;
  const cpu = `${((cpuSeconds * 1000) / vms).toFixed(0)} ms`;
  return [kind, String(vms), ...counts, cpu, formatBytes(peakRssBytes)];
}

async function measureSessions(bench: Bench): Promise<void> {
  await withFleet(bench, bench.isQuick ? 16 : 200, async ({ lab, folder, vms }) => {
    const fleet = { lab, folder, vms };
    const rows = [await sessionRow(fleet, 'first, full')];
    rows.push(await sessionRow(fleet, 'second, nothing changed'));
    bench.table({
      title: 'Runs with real sessions of one disk of 1 MiB, 16 at once in one process',
      header: [
        'sessions',
        'VMs',
        'engine calls a VM',
        'polls a VM',
        'imageio calls a VM',
        'CPU a VM',
        'peak RSS',
      ],
      rows,
    });
  });
}

async function stateRow({ folder, vms }: Fleet): Promise<string[]> {
  const { value } = await callOnce('./fleetWork.js', 'stateWrites', { folder, vms });
  const { fileBytes, cpuSeconds } = value as StateAnswer;
  return [String(vms), formatBytes(fileBytes), `${(cpuSeconds * 1000).toFixed(1)} ms`];
}

async function run(bench: Bench): Promise<void> {
  const rows: string[][] = [];
  const stateRows: string[][] = [];
  for (const vms of bench.isQuick ? [100] : [500, 2000, 10_000]) {
    await withFleet(bench, vms, async (fleet) => {
      rows.push(await planRow(fleet));
      if (vms === (bench.isQuick ? 100 : 2000)) await measureQueue(bench, fleet);
      stateRows.push(await stateRow(fleet));
    });
  }
  bench.table({
    title: 'Plans of a run over all VMs of the engine, with hosts and storage domains',
    header: ['VMs', 'engine calls', 'a VM', ...COSTS],
    rows,
  });
  bench.table({
    title: 'A write of the state of a job, in which one VM is done',
    header: ['VMs', 'file', 'CPU'],
    rows: stateRows,
  });
  await measureSessions(bench);
  await measureQueues(bench);
}

export const fleet: Topic = { name: 'fleet', run };
