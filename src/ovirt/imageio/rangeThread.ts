/**
 * Entry of a thread that moves ranges of images between its own connections and the slab. TLS then
 * runs on another core than the records of the pipeline.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { InternalError, TransferError } from '../../core/errors.ts';
import {
  createSlotFingerprint,
  type FingerprintSetup,
  type SlabPlace,
} from '../../compute/slotFingerprint.ts';
import { ConnectionFailure, describeFailure } from '../networkFailure.ts';
import type { RangeAnswer } from './rangeAnswer.ts';
import type { RangeConnectionOptions } from './rangeConnection.ts';
import { RangePool } from './rangePool.ts';

/** Room in the slab for a part of a range. */
export interface SlabTarget extends SlabPlace {
  /** Byte offset of the state of the fingerprint; undefined when none is wanted. */
  readonly stateOffset: number | undefined;
}

/** Message to a thread. The thread answers each `read`, `write` and `close` by its `orderId`. */
export type ThreadOrder =
  | {
      readonly kind: 'open';
      readonly imageId: number;
      /** The URL holds the ticket, which is secret. A thread gets it as text. */
      readonly options: Omit<RangeConnectionOptions, 'url'> & { readonly url: string };
      readonly limit: number;
    }
  | {
      readonly kind: 'read';
      readonly orderId: number;
      readonly imageId: number;
      readonly offsetBytes: number;
      readonly targets: readonly SlabTarget[];
      readonly what: string;
    }
  | {
      readonly kind: 'write';
      readonly orderId: number;
      readonly imageId: number;
      readonly offsetBytes: number;
      readonly source: SlabPlace;
      readonly what: string;
    }
  | { readonly kind: 'abort'; readonly orderId: number }
  | { readonly kind: 'close'; readonly orderId: number; readonly imageId: number };

/** Result of a `read` or `write`. */
export interface RangeResult {
  /** HTTP status. */
  readonly status: number;
  /** True when the range, or a part of it, is in its targets. */
  readonly isRange: boolean;
  readonly receivedBytes: number;
  /** Body of a refusal. */
  readonly text: string;
  /**
   * Fingerprint of each target that was filled and has a state: xxHash64 with seed 0, and 0 for
   * zeros only. Undefined for the others.
   */
  readonly fingerprints: readonly (bigint | undefined)[];
}

/** Why an order failed. `reason` is a name for `describeFailure`. */
export type RangeFailure =
  | { readonly kind: 'network'; readonly reason: string }
  | { readonly kind: 'answer'; readonly message: string }
  | { readonly kind: 'bug'; readonly message: string };

/** Message of a thread. It has a result, a failure, or neither after a `close`. */
export interface ThreadAnswer {
  readonly orderId: number;
  readonly result?: RangeResult | undefined;
  readonly failure?: RangeFailure | undefined;
}

const setup = workerData as FingerprintSetup;
const fingerprint = createSlotFingerprint(setup);
const pools = new Map<number, RangePool>();
const running = new Map<number, AbortController>();

function bytesAt({ placeOffset, lengthBytes }: SlabPlace): Buffer {
  return Buffer.from(setup.memory.buffer, placeOffset, lengthBytes);
}

/** The block was just received, so it is still in the cache of this core. */
function fingerprintsOf(
  targets: readonly SlabTarget[],
  receivedBytes: number,
): (bigint | undefined)[] {
  let endBytes = 0;
  return targets.map((target) => {
    endBytes += target.lengthBytes;
    const { stateOffset } = target;
    if (stateOffset === undefined || endBytes > receivedBytes) return undefined;
    return fingerprint?.(target, stateOffset);
  });
}

function resultOf(answer: RangeAnswer, targets: readonly SlabTarget[]): RangeResult {
  const { status, isRange, receivedBytes, text } = answer;
  return {
    status,
    isRange,
    receivedBytes,
    text,
    fingerprints: fingerprintsOf(targets, receivedBytes),
  };
}

function failureOf(error: unknown): RangeFailure {
  if (error instanceof TransferError) return { kind: 'answer', message: error.message };
  if (error instanceof InternalError) return { kind: 'bug', message: error.message };
  return { kind: 'network', reason: describeFailure(error).reason };
}

function poolOf(imageId: number): RangePool {
  const pool = pools.get(imageId);
  if (!pool) throw new ConnectionFailure('UND_ERR_DESTROYED', 'the image was closed');
  return pool;
}

async function move(
  order: Extract<ThreadOrder, { kind: 'read' | 'write' }>,
  signal: AbortSignal,
): Promise<RangeResult> {
  const { imageId, offsetBytes, what } = order;
  const pool = poolOf(imageId);
  if (order.kind === 'write') {
    return resultOf(await pool.put(bytesAt(order.source), offsetBytes, what, signal), []);
  }
  const { targets } = order;
  const lengthBytes = targets.reduce((sum, target) => sum + target.lengthBytes, 0);
  const range = { offsetBytes, lengthBytes, targets: targets.map(bytesAt) };
  return resultOf(await pool.fetch(range, what, signal), targets);
}

async function run(order: Extract<ThreadOrder, { kind: 'read' | 'write' }>): Promise<ThreadAnswer> {
  const { orderId } = order;
  const abort = new AbortController();
  running.set(orderId, abort);
  try {
    return { orderId, result: await move(order, abort.signal) };
  } catch (error) {
    return { orderId, failure: failureOf(error) };
  } finally {
    running.delete(orderId);
  }
}

function answer(message: ThreadAnswer): void {
  parentPort?.postMessage(message);
}

parentPort?.on('message', (order: ThreadOrder) => {
  switch (order.kind) {
    case 'open': {
      const { imageId, options, limit } = order;
      pools.set(imageId, new RangePool({ ...options, url: new URL(options.url) }, limit));
      return;
    }
    case 'close':
      pools.get(order.imageId)?.close();
      pools.delete(order.imageId);
      answer({ orderId: order.orderId });
      return;
    case 'abort':
      running.get(order.orderId)?.abort(new Error('aborted'));
      return;
    default:
      void run(order).then(answer);
  }
});
