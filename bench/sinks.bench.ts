/** Pipes to a sink that keeps nothing, against sessions that write a container. */
import path from 'node:path';
import { formatBytes, GIB, MIB } from '../src/core/units.ts';
import { scaleTimings } from '../src/index.ts';
import { BenchChild, callOnce } from './childProcess.ts';
import type { LabAccess } from './labWork.ts';
import { removeAll } from './programs.ts';
import type { Bench, BenchCase, Topic } from './suite.ts';

const TIME_SCALE = 0.05;
const READ_MS = 60_000;
const SLOW_SINK_BYTES_PER_SECOND = 20 * MIB;
const QUICK_SLOW_SINK_BYTES_PER_SECOND = 100 * MIB;

/** A function of a child process as a case. Each execution gets a new folder. */
function childCase(
  child: BenchChild,
  name: string,
  call: { readonly method: string; readonly argument: unknown; readonly folder: string },
): BenchCase {
  return {
    name,
    run: () => child.run(call.method, call.argument),
    reset: () => removeAll(call.folder),
  };
}

async function measureImage(bench: Bench): Promise<void> {
  const { image, imageBytes: readBytes, imageDataBytes: dataBytes, workers } = bench;
  const repository = path.join(bench.folder, 'sinks');
  using pipes = await BenchChild.start('./sinkWork.js');
  using sessions = await BenchChild.start('./sessionWork.js');
  const ours = childCase(pipes, 'openImage, pipe, LZ4, null sink', {
    method: 'pipeImage',
    argument: { image, workers },
    folder: repository,
  });
  const peer = childCase(sessions, 'backupImages, full', {
    method: 'imageSession',
    argument: { image, repository, workers },
    folder: repository,
  });
  const title = 'image piped to a null sink against a session';
  const spec = { title, ours, peer, readBytes, dataBytes };
  await bench.compare({ ...spec, pairs: bench.pairsOf(7, 0) });
  await removeAll(repository);
}

async function measureVm(bench: Bench): Promise<void> {
  const blocks = bench.isQuick ? 32 : 1024;
  using lab = await BenchChild.start('./labWork.js');
  const access = (await lab.call('start', { sizeBytes: 2 * GIB, blocks })).value as LabAccess;
  const timings = { ...scaleTimings(TIME_SCALE), imageioReadMs: READ_MS };
  const [journal, repository] = ['journal', 'sinks'].map((name) => path.join(bench.folder, name));
  const given = { engine: { ...access.engine, timings }, vm: access.vm, workers: bench.workers };
  using pipes = await BenchChild.start('./sinkWork.js');
  using sessions = await BenchChild.start('./sessionWork.js');
  const ours = childCase(pipes, 'openVm, pipe, LZ4, null sink', {
    method: 'pipeVm',
    argument: { ...given, journal },
    folder: journal ?? '',
  });
  const peer = childCase(sessions, 'backupVms, full', {
    method: 'session',
    argument: { ...given, repository },
    folder: repository ?? '',
  });
  const title = 'VM of the lab piped to a null sink against a session';
  const bytes = { readBytes: blocks * MIB, dataBytes: blocks * MIB };
  await bench.compare({ title, ours, peer, ...bytes, pairs: bench.pairsOf(5, 0) });
  await lab.call('stop', {});
  await removeAll(journal ?? '', repository ?? '');
}

async function measureSlowSink(bench: Bench): Promise<void> {
  const { image, workers } = bench;
  const rows: string[][] = [];
  const slow = bench.isQuick ? QUICK_SLOW_SINK_BYTES_PER_SECOND : SLOW_SINK_BYTES_PER_SECOND;
  for (const bytesPerSecond of [undefined, slow]) {
    const argument = { image, workers, bytesPerSecond };
    const { seconds, peakRssBytes } = await callOnce('./sinkWork.js', 'pipeImage', argument);
    const limit = bytesPerSecond === undefined ? 'none' : `${formatBytes(bytesPerSecond)}/s`;
    rows.push([limit, seconds.toFixed(2), formatBytes(peakRssBytes)]);
  }
  bench.table({
    title: 'Image piped to a sink with a limit: memory of the process',
    header: ['limit of the sink', 'seconds', 'peak RSS'],
    rows,
  });
}

async function run(bench: Bench): Promise<void> {
  await measureImage(bench);
  await measureVm(bench);
  await measureSlowSink(bench);
}

export const sinks: Topic = { name: 'sinks', run };
