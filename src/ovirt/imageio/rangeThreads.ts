/**
 * Threads that read and write ranges of images: decrypted bytes go straight into the slab, and the
 * thread computes their fingerprints. The calling thread sees results only.
 */
import type { Worker } from 'node:worker_threads';
import type { FingerprintSetup, SlabPlace } from '../../compute/slotFingerprint.ts';
import { InternalError } from '../../core/errors.ts';
import { startThread } from '../../core/installation.ts';
import { MIB } from '../../core/units.ts';
import { badAnswer } from './badAnswer.ts';
import type { RangeConnectionOptions } from './rangeConnection.ts';
import type {
  RangeFailure,
  RangeResult,
  SlabTarget,
  ThreadAnswer,
  ThreadOrder,
} from './rangeThread.ts';

function crash(reason: string): InternalError {
  return new InternalError('WORKER_CRASHED', `a thread for image data failed: ${reason}`);
}

/** The error that the thread had, in a form that `describeFailure` understands. */
function errorOf(failure: RangeFailure): Error {
  if (failure.kind === 'answer') return badAnswer(failure.message);
  if (failure.kind === 'bug') return new InternalError('INTERNAL_INVARIANT', failure.message);
  return Object.assign(new Error(failure.reason), { code: failure.reason });
}

interface Waiting {
  readonly resolve: (answer: ThreadAnswer) => void;
  readonly reject: (error: Error) => void;
}

/** One thread. It starts with its first order. */
class RangeThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #ended: Error | undefined;

  constructor(setup: FingerprintSetup) {
    this.#worker = startThread(import.meta.url, './rangeThread.js', setup);
    this.#worker.on('message', (answer: ThreadAnswer) => {
      this.#waiting.get(answer.orderId)?.resolve(answer);
      this.#waiting.delete(answer.orderId);
    });
    this.#worker.on('error', (error) => this.#end(crash(error.message)));
    this.#worker.on('exit', (code) => this.#end(crash(`exit code ${code}`)));
  }

  /** Orders under way. */
  get load(): number {
    return this.#waiting.size;
  }

  post(order: ThreadOrder): void {
    if (!this.#ended) this.#worker.postMessage(order);
  }

  /**
   * Sends an order and waits for its answer, also after an abort: until then the thread uses the
   * memory of the order.
   */
  async ask(
    order: ThreadOrder & { readonly orderId: number },
    signal?: AbortSignal,
  ): Promise<ThreadAnswer> {
    if (this.#ended) throw this.#ended;
    const { orderId } = order;
    const onAbort = (): void => this.post({ kind: 'abort', orderId });
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting.set(orderId, { resolve, reject });
        this.#worker.postMessage(order);
      });
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  async close(): Promise<void> {
    this.#end(new InternalError('INTERNAL_INVARIANT', 'threads for image data were closed'));
    await this.#worker.terminate();
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/**
 * Bytes of an image from which threads move them. With fewer, threads cost more than they save.
 * Tests lower the number, because their disks are small.
 */
export const THREADED_FROM: { bytes: number } = { bytes: 256 * MIB };
/** Most threads: each moves more than a GiB a second. */
const MAX_THREADS = 4;
/** Three workers compress about as fast as one thread decrypts. */
const WORKERS_PER_THREAD = 3;

/** Threads for a session with so many workers. */
export function rangeThreadCount(workers: number): number {
  return Math.min(MAX_THREADS, Math.ceil(workers / WORKERS_PER_THREAD));
}

/**
 * The threads of one session. They start with the first image. The caller closes them after all
 * images are closed.
 */
export class RangeThreads {
  readonly #makeSetup: () => FingerprintSetup;
  readonly #count: number;
  #setup: FingerprintSetup | undefined;
  readonly #threads: RangeThread[] = [];
  #hasStarted = false;
  #nextId = 0;

  /**
   * @param makeSetup - called when the first bytes are to be moved.
   * @param count - number of threads, at least 1.
   */
  constructor(makeSetup: () => FingerprintSetup, count: number) {
    this.#makeSetup = makeSetup;
    this.#count = count;
  }

  /**
   * Opens an image. Its connections are made on demand. The first image starts the threads.
   *
   * @param limit - most connections over all threads, at least 1.
   * @returns undefined when no thread could be started.
   */
  open(options: RangeConnectionOptions, limit: number): ThreadedImage | undefined {
    this.#start();
    const used = this.#threads.slice(0, limit);
    if (used.length === 0) return undefined;
    const imageId = this.#nextId++;
    const plain = { ...options, url: options.url.href };
    const lanes = used.map((thread, k): Lane => {
      const share = Math.ceil((limit - k) / used.length);
      thread.post({ kind: 'open', imageId, options: plain, limit: share });
      return { thread, share, orders: 0 };
    });
    return new ThreadedImage(imageId, lanes, () => this.#nextId++);
  }

  /** Starts the threads, or as many as the system allows. */
  #start(): void {
    if (this.#hasStarted) return;
    this.#hasStarted = true;
    const setup = this.#sharedSetup;
    try {
      for (let k = 0; k < this.#count; k++) this.#threads.push(new RangeThread(setup));
    } catch {
      // With fewer threads, or none, everything still works.
    }
  }

  /** True when all these bytes lie in the slab of the threads. */
  holdsAll(parts: readonly Uint8Array[]): boolean {
    const { memory } = this.#sharedSetup;
    return parts.every(({ buffer }) => buffer === memory.buffer);
  }

  get #sharedSetup(): FingerprintSetup {
    this.#setup ??= this.#makeSetup();
    return this.#setup;
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.splice(0).map((thread) => thread.close()));
  }
}

/** One thread of an image. */
interface Lane {
  readonly thread: RangeThread;
  /** Connections of the image in this thread. */
  readonly share: number;
  /** Orders of the image that the thread has. */
  orders: number;
}

/** One image, whose ranges threads read and write. */
export class ThreadedImage {
  readonly #imageId: number;
  readonly #lanes: readonly Lane[];
  readonly #nextOrderId: () => number;

  constructor(imageId: number, lanes: readonly Lane[], nextOrderId: () => number) {
    this.#imageId = imageId;
    this.#lanes = lanes;
    this.#nextOrderId = nextOrderId;
  }

  /**
   * Fills the targets, one after the other, with the bytes from `offsetBytes` on.
   *
   * @throws {@link TransferError} `TRANSFER_BAD_ANSWER`; {@link InternalError} `WORKER_CRASHED`;
   *   an error with the code of the network failure
   */
  async fetch(
    targets: readonly SlabTarget[],
    offsetBytes: number,
    what: string,
    signal: AbortSignal | undefined,
  ): Promise<RangeResult> {
    return await this.#move({ kind: 'read', offsetBytes, targets, what }, signal);
  }

  /** Writes bytes of the slab. @throws as {@link fetch} */
  async put(
    source: SlabPlace,
    offsetBytes: number,
    what: string,
    signal: AbortSignal | undefined,
  ): Promise<RangeResult> {
    return await this.#move({ kind: 'write', offsetBytes, source, what }, signal);
  }

  /** Ends all connections. Requests under way fail. */
  async close(): Promise<void> {
    const imageId = this.#imageId;
    const closeIn = async ({ thread }: Lane): Promise<void> => {
      // A thread that has crashed has no connections any more.
      await thread.ask({ kind: 'close', orderId: this.#nextOrderId(), imageId }).catch(() => {});
    };
    await Promise.all(this.#lanes.map(closeIn));
  }

  async #move(order: MoveOrder, signal: AbortSignal | undefined): Promise<RangeResult> {
    signal?.throwIfAborted();
    const lane = this.#lanes.reduce((best, other) => (isFreer(other, best) ? other : best));
    const ids = { orderId: this.#nextOrderId(), imageId: this.#imageId };
    lane.orders++;
    const { result, failure } = await lane.thread.ask({ ...order, ...ids }, signal).finally(() => {
      lane.orders--;
    });
    signal?.throwIfAborted();
    if (failure) throw errorOf(failure);
    if (!result) throw crash('an answer without a result');
    return result;
  }
}

/** First the connections of the image count, then the work for other images. */
function isFreer(one: Lane, other: Lane): boolean {
  const [ownRatio, otherRatio] = [one, other].map(({ orders, share }) => orders / share);
  if (ownRatio !== otherRatio) return (ownRatio ?? 0) < (otherRatio ?? 0);
  return one.thread.load < other.thread.load;
}

type MoveOrder =
  | Omit<Extract<ThreadOrder, { kind: 'read' }>, 'orderId' | 'imageId'>
  | Omit<Extract<ThreadOrder, { kind: 'write' }>, 'orderId' | 'imageId'>;
