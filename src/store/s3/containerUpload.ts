/**
 * A container on its way into a bucket. Part 1 holds the header and the snapshot slots, so it waits
 * in memory and is sent last. Other parts are sent when they are full. A container that is smaller
 * than one part is one object from the start.
 */
import { InternalError, invariant } from '../../core/errors.ts';
import { MIB } from '../../core/units.ts';
import type { Storage } from '../storage.ts';
import type { NewContainer } from '../store.ts';
import { Part, PartPlan } from './parts.ts';
import type { Bucket, ObjectFacts, Retention } from './requests/bucket.ts';
import { nameTaken, type SentPart, type UploadId, type Uploads } from './requests/uploads.ts';

const MAX_FLIGHT_BYTES = 32 * MIB;
/** Parts in flight that are allowed at any size. */
const MIN_FLIGHTS = 2;
/**
 * Parts beside part 1 that may wait for bytes. The hole of the first bank has at most 4.2 MiB, and
 * a sealed one at most 5 MiB. So it touches two parts, and a third one is being filled.
 */
const MAX_WAITING_PARTS = 4;

/** The requests of an upload. Tests replace them. */
export interface UploadRequests {
  readonly bucket: Pick<Bucket, 'put' | 'urlOf'>;
  readonly uploads: Pick<Uploads, 'start' | 'sendPart' | 'complete' | 'abort'>;
}

export interface UploadOptions {
  readonly key: string;
  readonly expectedBytes: number | undefined;
  readonly retention: Retention | undefined;
  readonly onPublished: (facts: ObjectFacts) => void;
  /** Deletes the object again, if it was written after another process took the lock over. */
  readonly withdraw: (facts: ObjectFacts) => Promise<void>;
  /** Called when parts stay on the server, because they could not be deleted. */
  readonly onLeft: () => void;
}

class UploadStorage implements Storage {
  readonly name: string;
  readonly canReadBack = false;
  readonly #requests: UploadRequests;
  readonly #options: UploadOptions;
  readonly #plan: PartPlan;
  readonly #first: Part;
  /** Parts beside part 1 that are not full. */
  readonly #waiting = new Map<number, Part>();
  readonly #flights = new Set<Promise<void>>();
  readonly #sent: SentPart[] = [];
  readonly #spares: Buffer[] = [];
  #flightBytes = 0;
  #lastPart: Part;
  #endBytes = 0;
  #lastWrite: Promise<void> = Promise.resolve();
  #isSynced = false;
  #upload: UploadId | undefined;
  #failure: Error | undefined;

  constructor(requests: UploadRequests, options: UploadOptions) {
    this.name = requests.bucket.urlOf(options.key);
    this.#requests = requests;
    this.#options = options;
    this.#plan = new PartPlan(options.expectedBytes);
    this.#first = new Part(1, 0, this.#plan.sizeOf(1));
    this.#lastPart = this.#first;
  }

  /** Memory of all parts that are not on the server yet, and of spare ones. */
  get bufferedBytes(): number {
    const buffers = [this.#first, ...this.#waiting.values()].map(({ sizeBytes }) => sizeBytes);
    const spares = this.#spares.map(({ length }) => length);
    return [...buffers, ...spares].reduce((sum, bytes) => sum + bytes, this.#flightBytes);
  }

  /** True when the object is made of parts. */
  get hasParts(): boolean {
    return this.#upload !== undefined;
  }

  sizeBytes(): Promise<number> {
    return Promise.resolve(this.#endBytes);
  }

  read(): Promise<void> {
    return Promise.reject(
      new InternalError(
        'INTERNAL_INVARIANT',
        `${this.name}: an upload cannot be read before its end`,
      ),
    );
  }

  /** Copies the pieces. Waits while too many parts are in flight. */
  async write(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    const write = this.#lastWrite.then(() => this.#take(pieces, offsetBytes));
    this.#lastWrite = write.catch(() => {});
    await write;
  }

  async #take(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    this.#isSynced = false;
    let atBytes = offsetBytes;
    for (const piece of pieces) {
      for (let doneBytes = 0; doneBytes < piece.length; ) {
        if (this.#failure) throw this.#failure;
        const part = await this.#partAt(atBytes);
        const takenBytes = part.write(piece.subarray(doneBytes), atBytes);
        doneBytes += takenBytes;
        atBytes += takenBytes;
        this.#endBytes = Math.max(this.#endBytes, atBytes);
        if (part.isFull && part !== this.#first) await this.#send(part);
      }
    }
  }

  async #partAt(offsetBytes: number): Promise<Part> {
    const number = this.#plan.partAt(offsetBytes).part;
    while (this.#lastPart.number < number) await this.#openNext();
    const part = number === 1 ? this.#first : this.#waiting.get(number);
    invariant(part, `${this.name}: part ${number} was sent before byte ${offsetBytes} came`);
    return part;
  }

  async #openNext(): Promise<void> {
    const [oldest] = this.#waiting.values();
    if (oldest && this.#waiting.size >= MAX_WAITING_PARTS) await this.#send(oldest);
    const startBytes = this.#lastPart.startBytes + this.#lastPart.sizeBytes;
    const { part: number } = this.#plan.partAt(startBytes);
    const part = new Part(number, startBytes, this.#plan.sizeOf(number), this.#spares.pop());
    this.#waiting.set(number, part);
    this.#lastPart = part;
  }

  /** Starts to send a part when there is room for it. */
  async #send(part: Part): Promise<void> {
    const lengthBytes = Math.min(part.sizeBytes, this.#endBytes - part.startBytes);
    while (
      this.#flights.size >= MIN_FLIGHTS &&
      this.#flightBytes + part.sizeBytes > MAX_FLIGHT_BYTES
    ) {
      await Promise.race(this.#flights);
    }
    if (this.#failure) throw this.#failure;
    const { uploads } = this.#requests;
    this.#upload ??= await uploads.start(this.#options.key, this.#options.retention);
    this.#waiting.delete(part.number);
    this.#flightBytes += part.sizeBytes;
    const flight = this.#fly(this.#upload, part, lengthBytes).finally(() => {
      this.#flights.delete(flight);
    });
    this.#flights.add(flight);
  }

  async #fly(upload: UploadId, part: Part, lengthBytes: number): Promise<void> {
    try {
      const body = part.finish(lengthBytes);
      this.#sent.push(await this.#requests.uploads.sendPart(upload, part.number, body));
    } catch (error) {
      this.#failure ??= error as Error;
    } finally {
      this.#flightBytes -= part.sizeBytes;
      if (this.#spares.length === 0) this.#spares.push(part.buffer);
    }
  }

  /** Bytes of an upload are stable when it is complete. Here only failures show. */
  async sync(): Promise<void> {
    await this.#lastWrite;
    if (this.#failure) throw this.#failure;
    this.#isSynced = true;
  }

  /**
   * Sends what is left. A container that was written to after its last sync is not complete. It
   * will be discarded, so the rest is not sent.
   */
  async close(): Promise<void> {
    await this.#lastWrite;
    if (this.#isSynced) await this.#sendRest();
  }

  async #sendRest(): Promise<void> {
    if (this.#lastPart !== this.#first && !this.#isAllSent()) {
      for (const part of this.#waiting.values()) await this.#send(part);
      await this.#send(this.#first);
    }
    await Promise.all(this.#flights);
    if (this.#failure) throw this.#failure;
  }

  #isAllSent(): boolean {
    return this.#sent.some(({ number }) => number === 1);
  }

  /** Makes the object. */
  async finish(): Promise<ObjectFacts> {
    await this.#lastWrite;
    await this.#sendRest();
    const { bucket, uploads } = this.#requests;
    const { key, retention } = this.#options;
    if (this.#upload) {
      const parts = this.#sent.toSorted((a, b) => a.number - b.number);
      return await uploads.complete(this.#upload, parts, this.#endBytes);
    }
    const body = this.#first.finish(this.#endBytes);
    const facts = await bucket.put(key, body, { onlyIfAbsent: true, retention });
    if (facts === 'conflict') throw nameTaken(this.name);
    return facts;
  }

  /** Deletes all parts. Nothing can be written after it. */
  async abort(): Promise<void> {
    this.#failure ??= new InternalError('INTERNAL_INVARIANT', `${this.name} was discarded`);
    await this.#lastWrite;
    // A part that arrives after the abort would stay.
    await Promise.all(this.#flights);
    if (this.#upload) await this.#requests.uploads.abort(this.#upload);
  }
}

export class ContainerUpload implements NewContainer {
  readonly storage: UploadStorage;
  readonly lockedUntilMs: number | undefined;
  readonly #options: UploadOptions;
  #published: ObjectFacts | undefined;

  constructor(requests: UploadRequests, options: UploadOptions) {
    this.#options = options;
    this.lockedUntilMs = options.retention?.untilMs;
    this.storage = new UploadStorage(requests, options);
  }

  async publish(): Promise<void> {
    this.#published = await this.storage.finish();
    this.#options.onPublished(this.#published);
  }

  /** An upload in parts ends with the lock. An object of one request may come late. */
  async withdraw(): Promise<void> {
    if (!this.#published || this.storage.hasParts) return;
    await this.#options.withdraw(this.#published).catch(() => {});
  }

  async discard(): Promise<void> {
    await this.storage.abort().catch(this.#options.onLeft);
  }
}
