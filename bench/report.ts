/** Shows results as text and stores them: JSON, tables in RESULTS.md, plots. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { formatBytes, GIB, MIB } from '../src/core/units.ts';
import { drawPlot } from './svg.ts';
import type { CaseResult, PairResult, Table, TopicResult } from './suite.ts';

/** The last results, quick or full. The gate judges them. */
export const LAST_RUN = '.bench/last.json';
const RESULTS = 'bench/results.json';
const DOCUMENT = 'bench/RESULTS.md';
const PLOTS = 'bench/plots';

/** A topic with its measurement. The topics of a file may have been measured at different times. */
export interface TopicRun extends TopicResult {
  readonly command: string;
  readonly measuredOn: string;
  readonly seconds: number;
  /** Load of the machine at the start of the topic. */
  readonly load: number;
  /** Machine, versions and image, where they are not those of the file. */
  readonly setting?: string | undefined;
}

export interface RunResult {
  readonly machine: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly image: { readonly bytes: number; readonly sha256: string };
  readonly topics: Readonly<Record<string, TopicRun>>;
}

export const PAIR_HEADER: readonly string[] = [
  'case',
  'peer',
  'times as fast',
  '95 %',
  'pairs',
  's ours / peer',
  'MiB/s ours / peer',
  'CPU s/GiB ours / peer',
  'CPU s/GiB of data ours / peer',
  'server CPU s/GiB ours / peer',
  'peak RSS ours / peer',
  'loop delay p99',
];

function both(
  { ours, peer }: PairResult,
  show: (result: CaseResult) => string | undefined,
): string {
  const [one, other] = [show(ours), show(peer)];
  return one === undefined && other === undefined ? '-' : `${one ?? '-'} / ${other ?? '-'}`;
}

function fixed(value: number | undefined, digits = 2): string | undefined {
  return value === undefined ? undefined : value.toFixed(digits);
}

/** Cells in the order of {@link PAIR_HEADER}. */
export function pairRow(pair: PairResult): string[] {
  const { readBytes, dataBytes, ours, peer, interval, speedRatio } = pair;
  const perGib = (seconds?: number, bytes: number | undefined = readBytes): string | undefined =>
    fixed(seconds === undefined ? undefined : seconds / (bytes / GIB));
  return [
    `${pair.title}: ${ours.name}`,
    peer.name,
    speedRatio.toFixed(2),
    `${interval[0].toFixed(2)} to ${interval[1].toFixed(2)}`,
    String(pair.pairs),
    both(pair, ({ seconds }) => fixed(seconds)),
    both(pair, ({ seconds }) => fixed(readBytes / MIB / seconds, 0)),
    both(pair, ({ cpuSeconds }) => perGib(cpuSeconds)),
    dataBytes === undefined ? '-' : both(pair, ({ cpuSeconds }) => perGib(cpuSeconds, dataBytes)),
    both(pair, ({ serverCpuSeconds }) => perGib(serverCpuSeconds)),
    both(pair, ({ peakRssBytes }) => (peakRssBytes ? formatBytes(peakRssBytes) : undefined)),
    ours.loopDelayMs === undefined ? '-' : `${ours.loopDelayMs.toFixed(1)} ms`,
  ];
}

function markdownLine(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function markdownTable({ title, header, rows }: Table): string {
  const rule = `|${header.map(() => '---|').join('')}`;
  return [`${title}:`, '', markdownLine(header), rule, ...rows.map(markdownLine), ''].join('\n');
}

function renderTopic(name: string, topic: TopicRun): string {
  const { pairs, tables, plots, leftOut, command, measuredOn, seconds, load } = topic;
  const when = `\`${command}\`, ${measuredOn}, ${seconds.toFixed(0)} s, load ${load.toFixed(1)} when it began`;
  const pairTable: Table = { title: 'Pairs', header: PAIR_HEADER, rows: pairs.map(pairRow) };
  return [
    `### ${name}`,
    '',
    `${when}.`,
    '',
    ...(topic.setting === undefined ? [] : [topic.setting, '']),
    ...(pairs.length > 0 ? [markdownTable(pairTable)] : []),
    ...tables.map(markdownTable),
    ...plots.map((plot) => `![${plot.title}](plots/${plot.name}.svg)\n`),
    ...leftOut.map((reason) => `Left out: ${reason}.\n`),
  ].join('\n');
}

type RunSetting = Pick<RunResult, 'machine' | 'versions' | 'image'>;

function describeSetting({ machine, versions, image }: RunSetting): string {
  const known = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `${machine}. ${known.join(', ')}. Image: ${formatBytes(image.bytes)}, SHA-256 \`${image.sha256}\`.`;
}

/** The part of RESULTS.md that the suite makes. */
export function renderResults(result: RunResult): string {
  const topics = Object.entries(result.topics).map(([name, topic]) => renderTopic(name, topic));
  return [describeSetting(result), '', ...topics].join('\n');
}

/**
 * Adds new topics to old ones. New ones that were measured on another machine, or with another
 * image, say so. The old setting stays that of the file while an old topic has it.
 */
export function mergeResults(old: RunResult | undefined, result: RunResult): RunResult {
  const left = Object.keys(old?.topics ?? {}).filter((name) => !result.topics[name]);
  if (!old || left.length === 0) return result;
  const setting = describeSetting(result);
  const isSame = setting === describeSetting(old);
  const added = Object.entries(result.topics).map(([name, topic]) => [
    name,
    isSame ? topic : { ...topic, setting },
  ]);
  return {
    ...old,
    topics: { ...old.topics, ...(Object.fromEntries(added) as RunResult['topics']) },
  };
}

/** Puts `made` between the two marks of a document. @throws an Error when it has no such marks */
export function replaceMade(document: string, made: string): string {
  const [begin, end] = ['<!-- made by the suite -->\n', '<!-- end -->'];
  const [from, to] = [document.indexOf(begin), document.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`no marks ${begin.trim()} and ${end} in the document`);
  return `${document.slice(0, from + begin.length)}\n${made}\n${document.slice(to)}`;
}

export async function keepLastRun(result: RunResult): Promise<void> {
  await mkdir(path.dirname(LAST_RUN), { recursive: true });
  await writeFile(LAST_RUN, JSON.stringify(result));
}

/** Writes the results into the repository. Topics that were not measured keep their old results. */
export async function writeResults(result: RunResult): Promise<void> {
  const before = await readFile(RESULTS, 'utf8').catch(() => 'null');
  const merged = mergeResults((JSON.parse(before) as RunResult | null) ?? undefined, result);
  await writeFile(RESULTS, `${JSON.stringify(merged, undefined, 2)}\n`);
  await mkdir(PLOTS, { recursive: true });
  for (const plot of Object.values(merged.topics).flatMap((topic) => topic.plots)) {
    await writeFile(path.join(PLOTS, `${plot.name}.svg`), drawPlot(plot));
  }
  const document = await readFile(DOCUMENT, 'utf8');
  await writeFile(DOCUMENT, replaceMade(document, renderResults(merged)));
}
