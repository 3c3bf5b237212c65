/**
 * The life of one image transfer: create → transferring → requests → finalize, or cancel. A ticket that is lost
 * on the way is asked for again; a download that ended is made anew once.
 *
 * @see oVirt contract: actions answer 200 whatever happens, so only a later look counts; all connections are
 *   closed before finalize or cancel; cancelling an upload deletes the disk
 */
import { EngineError, TransferError } from '../../core/errors.ts';
import { sessionMessage } from '../../core/messages.ts';
import type { ImageTransfer } from '../engine/entities.ts';
import type { ImageioClient } from '../imageio/imageioClient.ts';
import { pollUntil } from '../poll.ts';
import { openClient } from './transferClient.ts';
import { cancelLeftover, endTransfer } from './transferEnd.ts';
import { createReady, type TransferOptions, waitTransferring } from './transferStart.ts';
import { watchTransfer } from './transferWatch.ts';

const MAX_RESUMES = 3;
export class DiskTransfer {
  readonly #options: TransferOptions;
  #transfer: ImageTransfer;
  #client: ImageioClient;
  #renewal: Promise<void> | undefined;
  /** Why the transfer cannot be used any more. */
  #lost: Error | undefined;
  #resumeCount = 0;
  #wasRecreated = false;
  #isOver = false;
  readonly #watch: { stop(): Promise<void> };

  private constructor(options: TransferOptions, transfer: ImageTransfer, client: ImageioClient) {
    this.#options = options;
    this.#transfer = transfer;
    this.#client = client;
    const { engine } = options;
    this.#watch = watchTransfer(
      engine.timings,
      () => this.#client,
      (signal) => engine.transfer(this.#transfer.id, signal),
    );
  }

  /**
   * Creates a transfer and waits until its data can be reached. What was created is cancelled again on failure.
   *
   * @throws {@link TransferError} `TRANSFER_NOT_READY` when the engine could not open the disk,
   *   `TRANSFER_UNREACHABLE`, `TRANSFER_TLS_UNTRUSTED`; what the engine throws
   */
  static async open(options: TransferOptions): Promise<DiskTransfer> {
    const transfer = await createReady(options);
    try {
      return new DiskTransfer(options, transfer, await openClient(options, transfer));
    } catch (error) {
      await cancelLeftover(options.engine, transfer.id);
      throw error;
    }
  }

  get id(): string {
    return this.#transfer.id;
  }

  /** Of the present connection; a renewal may change it. */
  get client(): ImageioClient {
    return this.#client;
  }

  /**
   * Runs one request. When its ticket is gone, the transfer is renewed and the request sent once more.
   *
   * @throws {@link TransferError} `TRANSFER_TICKET_GONE` when the transfer cannot be renewed
   */
  async use<T>(work: (client: ImageioClient) => Promise<T>): Promise<T> {
    await this.#renewal?.catch(() => {});
    if (this.#lost !== undefined) throw this.#lost;
    const used = this.#client;
    try {
      return await work(used);
    } catch (error) {
      const isGone = error instanceof TransferError && error.code === 'TRANSFER_TICKET_GONE';
      if (!isGone) throw this.#named(error);
      if (this.#client === used) await this.#renewOnce(error);
    }
    return await work(this.#client).catch((error: unknown) => {
      throw this.#named(error);
    });
  }

  /** The same error with the disk in its text. */
  #named(error: unknown): unknown {
    if (!(error instanceof TransferError) || error.details['diskId'] !== undefined) return error;
    const { alias, diskId } = this.#options;
    const { code, message, hint, details, retryable } = error;
    return new TransferError(code, `disk ${alias} (${diskId}): ${message}`, {
      hint,
      retryable,
      details: { ...details, diskId, alias },
      cause: error,
    });
  }

  /** Ends a transfer whose bytes were all moved. @throws {@link TransferError} `TRANSFER_FAILED` */
  async finish(): Promise<void> {
    await this.#disconnect();
    const { engine, alias, diskId, note, signal } = this.#options;
    const onForbidden = (): void => note(sessionMessage('XFER-307', { alias, id: diskId }));
    const phase = await endTransfer(engine, this.#transfer.id, 'finalize', signal, onForbidden);
    this.#isOver = true;
    // A download whose every byte is here has done its work, however the engine calls it.
    if (phase === 'finished_success' || phase === 'gone') return;
    if (this.#options.direction === 'download') return;
    throw new TransferError('TRANSFER_FAILED', `transfer of disk ${alias} (${diskId}): ${phase}`, {
      hint: 'the engine did not accept the image; its event list tells why',
      details: { phase },
    });
  }

  /** Ends a transfer that failed. For an upload this makes the engine delete the disk. */
  async cancel(signal: AbortSignal): Promise<void> {
    if (this.#isOver) return;
    await this.#disconnect();
    const onClock = this.#options.engine.withSignal(signal);
    await endTransfer(onClock, this.#transfer.id, 'cancel', signal);
    this.#isOver = true;
  }

  async #disconnect(): Promise<void> {
    await this.#watch.stop();
    await this.#client.close();
  }

  async #renewOnce(cause: TransferError): Promise<void> {
    this.#renewal ??= this.#renew(cause).finally(() => {
      this.#renewal = undefined;
    });
    try {
      await this.#renewal;
    } catch (error) {
      this.#lost = this.#named(error) as Error;
      throw this.#lost;
    }
  }

  async #renew(cause: TransferError): Promise<void> {
    const now = await this.#lookAfterLoss(cause);
    if (now?.phase === 'transferring' && !this.#isKnown(now)) return await this.#adopt(now);
    if (now?.phase.startsWith('paused')) return await this.#resume(cause);
    await this.#recreate(cause);
  }

  /** What was lost can go on only as what the engine makes of it: an upload waits until the engine has noticed. */
  async #lookAfterLoss(cause: TransferError): Promise<ImageTransfer | undefined> {
    const { engine, direction, signal } = this.#options;
    const look = (): Promise<ImageTransfer | undefined> =>
      engine.transfer(this.#transfer.id, signal);
    if (direction === 'download') return await look();
    const { timings } = engine;
    const poll = pollUntil(
      async () => {
        const now = await look();
        return now?.phase === 'transferring' && this.#isKnown(now) ? undefined : { now };
      },
      { timings, deadlineMs: timings.transferReadyMs, what: 'loss of a ticket noticed', signal },
    );
    const found = await poll.catch((error: unknown) => {
      signal.throwIfAborted();
      throw error instanceof EngineError && error.code === 'ENGINE_PHASE_TIMEOUT' ? cause : error;
    });
    return found.now;
  }

  #isKnown(now: ImageTransfer): boolean {
    return now.transferUrl === this.#transfer.transferUrl;
  }

  async #resume(cause: TransferError): Promise<void> {
    const { engine, alias, diskId: id, note } = this.#options;
    if (++this.#resumeCount > MAX_RESUMES) throw cause;
    note(sessionMessage('XFER-302', { alias, id, count: this.#resumeCount, max: MAX_RESUMES }));
    await engine.transferAction(this.#transfer.id, 'resume');
    await this.#adopt(await waitTransferring(this.#options, this.#transfer.id));
  }

  /** Only once, and never for an upload: its disk went with the transfer. */
  async #recreate(cause: TransferError): Promise<void> {
    const { engine, alias, diskId: id, direction, note, signal } = this.#options;
    if (this.#wasRecreated || direction === 'upload') throw cause;
    this.#wasRecreated = true;
    note(sessionMessage('XFER-305', { alias, id, reason: cause.code }));
    await this.#client.close();
    await endTransfer(engine, this.#transfer.id, 'cancel', signal);
    try {
      await this.#adopt(await createReady(this.#options));
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof EngineError ? cause : error;
    }
  }

  async #adopt(transfer: ImageTransfer): Promise<void> {
    const old = this.#client;
    this.#transfer = transfer;
    this.#client = await openClient(this.#options, transfer);
    await old.close();
  }
}
