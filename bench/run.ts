/**
 * The benchmark suite: ratios against peers, measured in interleaved pairs.
 *
 *   npm run bench -- [--quick] [--only TOPIC[,TOPIC]] [--pairs N] [--image FILE] [--workers N]
 *                    [--write]
 *
 * Absolute times depend on the machine and the moment. Only the ratios may be compared later.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { formatTable } from '../src/cli/output/table.ts';
import { formatBytes, MIB } from '../src/core/units.ts';
import { ceiling } from './ceiling.bench.ts';
import { compare } from './compare.bench.ts';
import { buildImage, dataBytesOf } from './data.ts';
import { disks } from './disks.bench.ts';
import { exports } from './export.bench.ts';
import { fleet } from './fleet.bench.ts';
import { full } from './full.bench.ts';
import { imageio } from './imageio.bench.ts';
import { collectVersions, describeMachine } from './machine.ts';
import { measurePairs, measureRounds } from './measure.ts';
import { mixes } from './mixes.bench.ts';
import { digestFile } from './programs.ts';
import { keepLastRun, PAIR_HEADER, pairRow, type TopicRun, writeResults } from './report.ts';
import { restore } from './restore.bench.ts';
import { scale } from './scale.bench.ts';
import { sinks } from './sinks.bench.ts';
import { sizes } from './sizes.bench.ts';
import { stages } from './stages.bench.ts';
import { store } from './store.bench.ts';
import type { Bench, PairResult, Setting, Table, Topic, TopicResult } from './suite.ts';

const TOPICS: readonly Topic[] = [
  stages,
  ceiling,
  full,
  compare,
  restore,
  exports,
  mixes,
  sizes,
  disks,
  sinks,
  imageio,
  store,
  scale,
  fleet,
];
const DATA_BYTES = 1800 * MIB;
/**
 * Enough that our start does not hide the work, and that threads move the data of imageio. They do
 * so from 256 MiB on, and some of these bytes are zeros.
 */
const QUICK_DATA_BYTES = 320 * MIB;

interface Options {
  readonly topics: readonly Topic[];
  readonly isQuick: boolean;
  readonly image: string | undefined;
  readonly pairs: number | undefined;
  readonly workers: number;
  readonly doesWrite: boolean;
  readonly command: string;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function readCount(text: string, name: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new Error(`${name}: ${text} is not 1 or more`);
  return count;
}

function chooseTopics(only: string | undefined): readonly Topic[] {
  if (only === undefined) return TOPICS;
  return only.split(',').map((name) => {
    const topic = TOPICS.find((one) => one.name === name);
    const known = TOPICS.map((one) => one.name).join(', ');
    if (!topic) throw new Error(`--only: there is no topic ${name}; there are ${known}`);
    return topic;
  });
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      image: { type: 'string' },
      pairs: { type: 'string' },
      workers: { type: 'string', default: '2' },
      write: { type: 'boolean', default: false },
    },
  });
  if (values.quick && values.write) throw new Error('--write: the quick form is no measurement');
  return {
    topics: chooseTopics(values.only),
    isQuick: values.quick,
    image: values.image,
    pairs: values.pairs === undefined ? undefined : readCount(values.pairs, '--pairs'),
    workers: readCount(values.workers, '--workers'),
    doesWrite: values.write,
    command: ['npm run bench --', ...process.argv.slice(2)]
      .map((word) => (word === values.image ? path.basename(word) : word))
      .join(' ')
      .replace(/ --$/, ''),
  };
}

function showPair(pair: PairResult): void {
  say(PAIR_HEADER.map((title, k) => `  ${title}: ${pairRow(pair)[k]}`).join('\n'));
  say('');
}

function createBench(setting: Setting, result: TopicResult): Bench {
  return {
    ...setting,
    pairsOf: (full, quick) => setting.pairs ?? (setting.isQuick ? quick : full),
    compare: async (spec) => {
      const pair = await measurePairs(spec);
      result.pairs.push(pair);
      showPair(pair);
      return pair;
    },
    compareRounds: async (spec) => {
      const pairs = await measureRounds(spec);
      result.pairs.push(...pairs);
      for (const pair of pairs) showPair(pair);
      return pairs;
    },
    table: (table: Table) => {
      result.tables.push(table);
      say(`${table.title}\n${formatTable(table.header, table.rows)}\n`);
    },
    plot: (plot) => void result.plots.push(plot),
    leaveOut: (reason) => {
      result.leftOut.push(reason);
      say(`left out: ${reason}`);
    },
  };
}

async function runTopic(topic: Topic, setting: Setting, command: string): Promise<TopicRun> {
  say(`== ${topic.name}`);
  const [startedAtMs, load] = [performance.now(), loadavg()[0] ?? 0];
  const result: TopicResult = { pairs: [], tables: [], plots: [], leftOut: [] };
  await topic.run(createBench(setting, result));
  const seconds = (performance.now() - startedAtMs) / 1000;
  say(`${topic.name}: ${seconds.toFixed(0)} s`);
  const measuredOn = new Date().toISOString().slice(0, 10);
  return { ...result, command, measuredOn, seconds, load };
}

async function runAll(options: Options, folder: string): Promise<void> {
  const { isQuick, workers, pairs } = options;
  const bytes = isQuick ? QUICK_DATA_BYTES : DATA_BYTES;
  const image = path.resolve(options.image ?? (await buildImage(folder, bytes)));
  const { size: imageBytes } = await stat(image);
  // This also brings the image into the page cache, so that every case reads it from there.
  const imageDigest = await digestFile(image);
  const imageDataBytes = await dataBytesOf(image);
  const [machine, versions] = [describeMachine(), collectVersions()];
  say(`${machine}; ${JSON.stringify(versions)}`);
  say(
    `image ${formatBytes(imageBytes)}, of it data ${formatBytes(imageDataBytes)}, SHA-256 ${imageDigest}; ${workers} workers`,
  );
  const known = { image, imageBytes, imageDataBytes, imageDigest };
  const setting = { folder, ...known, isQuick, workers, pairs };
  const topics: Record<string, TopicRun> = {};
  for (const topic of options.topics) {
    topics[topic.name] = await runTopic(topic, setting, options.command);
  }
  const result = { machine, versions, image: { bytes: imageBytes, sha256: imageDigest }, topics };
  await keepLastRun(result);
  if (options.doesWrite) await writeResults(result);
}

async function main(): Promise<void> {
  const options = readOptions();
  // The path must be short, because sockets are made in it.
  const folder = await mkdtemp(path.join(tmpdir(), 'cbt-bench-'));
  try {
    await runAll(options, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

await main();
