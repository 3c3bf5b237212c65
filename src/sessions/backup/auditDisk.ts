/**
 * Audit of a change map, before anything relies on it. A sample of the blocks that the engine calls
 * unchanged is read and compared with the fingerprint index of the parent point.
 */
import { Readable } from 'node:stream';
import { createStageStats } from '../../core/stats.ts';
import { blockLengthAt } from '../../core/units.ts';
import { planBlocks } from '../../flow/blockPlan.ts';
import { createBlockReader } from '../../flow/stages/blockReader.ts';
import type { HashedBlock, UnchangedRun, WantedBlock, ZeroRun } from '../../flow/records.ts';
import type { ParentDisk } from '../../flow/fingerprintMap.ts';
import { createHashComparer } from '../../flow/stages/hashComparer.ts';
import { callbackSink } from '../../flow/sinks/plainSinks.ts';
import { connect } from '../../flow/connect.ts';
import type { DiskInput } from './backupDisk.ts';
import type { AuditReport } from '../shared/report.ts';
import type { PipelineResources } from '../shared/pipelineResources.ts';

/** Consecutive blocks, `endIndex` excluded. */
export interface BlockSpan {
  readonly index: number;
  readonly endIndex: number;
}

/**
 * Picks about `ratio` of the blocks, at least one, in ascending order. The blocks are cut into
 * equal parts and one block is picked at random from each, so that the sample covers the whole
 * disk.
 *
 * @param random - gives numbers from 0 to below 1.
 */
export function* sampleBlocks(
  spans: readonly BlockSpan[],
  ratio: number,
  random: () => number,
): Generator<number> {
  const total = spans.reduce((sum, { index, endIndex }) => sum + endIndex - index, 0);
  const picks = Math.min(total, Math.ceil(total * ratio));
  let span = 0;
  let passed = 0;
  for (let pick = 0; pick < picks; pick++) {
    // Parts begin at whole blocks. Otherwise a block could be picked twice.
    const from = Math.floor((pick * total) / picks);
    const to = Math.floor(((pick + 1) * total) / picks);
    const position = from + Math.floor(random() * (to - from));
    for (
      let at = spans[span];
      at && position >= passed + at.endIndex - at.index;
      at = spans[span]
    ) {
      passed += at.endIndex - at.index;
      span++;
    }
    yield (spans[span]?.index ?? 0) + position - passed;
  }
}

export interface AuditInput extends DiskInput {
  readonly parent: ParentDisk;
}

/** Clean blocks, except those that are zero on both sides: reading them would show nothing. */
async function cleanSpans(input: AuditInput, resources: PipelineResources): Promise<BlockSpan[]> {
  const { task, device, parent } = input;
  const spans: BlockSpan[] = [];
  for await (const planned of planBlocks(task, device.extents('dirty', resources.signal))) {
    if (planned.dirty) continue;
    const { index } = planned;
    const endIndex = index + planned.blockCount;
    if (!planned.zero) spans.push({ index, endIndex });
    else {
      for (const known of parent.fingerprints.nonZeroIn(index, endIndex)) {
        spans.push({ index: known, endIndex: known + 1 });
      }
    }
  }
  return spans;
}

/**
 * Reads the sample and compares it. Nothing is stored.
 *
 * @param input - its device gives dirty extents; its parent is the point where the map begins.
 * @throws the same errors as a backup of the disk
 */
export async function auditDisk(
  input: AuditInput,
  resources: PipelineResources,
  ratio: number,
): Promise<AuditReport> {
  const { task, device, readers, attempts, retryDelayMs } = input;
  const { pool, signal } = resources;
  const startedAtMs = performance.now();
  const spans = await cleanSpans(input, resources);
  const read = createStageStats();
  const stats = createStageStats();
  let mismatchedBlocks = 0;
  const sink = callbackSink((record: HashedBlock | ZeroRun | UnchangedRun) => {
    if (record.kind !== 'unchanged') mismatchedBlocks++;
  });
  const parent = { sizeBytes: input.parent.sizeBytes, fingerprints: input.parent.fingerprints };
  await resources.withLease((lease) =>
    connect(
      Readable.from(wantedBlocks(input, spans, ratio), { objectMode: true, highWaterMark: 1 }),
      [
        createBlockReader({ task, device, lease, stats: read, readers, attempts, retryDelayMs }),
        createHashComparer({ task, pool, stats, parent }),
      ],
      sink,
      { signal },
    ),
  );
  const seconds = (performance.now() - startedAtMs) / 1000;
  return { auditedBlocks: read.blocks, mismatchedBlocks, readBytes: read.bytes, seconds };
}

function* wantedBlocks(
  input: AuditInput,
  spans: readonly BlockSpan[],
  ratio: number,
): Generator<WantedBlock> {
  const { diskId, blockSizeBytes, virtualSizeBytes } = input.task;
  for (const index of sampleBlocks(spans, ratio, Math.random)) {
    const offsetBytes = index * blockSizeBytes;
    const lengthBytes = blockLengthAt(index, virtualSizeBytes, blockSizeBytes);
    yield { kind: 'wanted', diskId, index, offsetBytes, lengthBytes };
  }
}
