/**
 * The life of one image transfer: create → transferring → requests → finalize, or cancel. A lost
 * ticket is renewed. A download that ended too early is created again, once.
 *
 * @see oVirt contract: actions always answer 200, so only the phase counts; all connections are
 *   closed before finalize or cancel; cancelling an upload deletes the disk
 */
import { EngineError, TransferError } from '../../core/errors.ts';
import { sessionMessage } from '../../core/messages.ts';
import type { ImageTransfer } from '../engine/entities.ts';
import type { ImageioClient } from '../imageio/imageioClient.ts';
import { pollUntil } from '../poll.ts';
import { notingWait } from '../waits.ts';
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
  /** Set when the transfer cannot be used any more; every request fails with it. */
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
   * Creates a transfer and connects to its image server. On failure the transfer is cancelled. The
   * caller ends it by {@link finish} or {@link cancel}.
   *
   * @throws {@link TransferError} `TRANSFER_NOT_READY` when the engine could not open the disk,
   *   `TRANSFER_UNREACHABLE`, `TRANSFER_TLS_UNTRUSTED`; {@link EngineError} for calls to the engine
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

  /** The current client. A renewal replaces it. */
  get client(): ImageioClient {
    return this.#client;
  }

  /**
   * Runs one request. If its ticket is gone, the transfer is renewed and `work` runs once more.
   *
   * @throws {@link TransferError} `TRANSFER_TICKET_GONE` when the transfer cannot be renewed
   */
  async use<T>(work: (client: ImageioClient) => Promise<T>): Promise<T> {
    await this.#renewal?.catch(() => {});
    if (this.#lost !== undefined) throw this.#lost;
    const used = this.#client;
    const { onWait } = this.#options.engine.client;
    try {
      return await notingWait(onWait, () => work(used));
    } catch (error) {
      const isGone = error instanceof TransferError && error.code === 'TRANSFER_TICKET_GONE';
      if (!isGone) throw this.#named(error);
      if (this.#client === used) await this.#renewOnce(error);
    }
    return await notingWait(onWait, () => work(this.#client)).catch((error: unknown) => {
      throw this.#named(error);
    });
  }

  /** The same error with the disk in its message and details. */
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

  /** Ends a transfer after its last byte. @throws {@link TransferError} `TRANSFER_FAILED` */
  async finish(): Promise<void> {
    await this.#disconnect();
    const { engine, alias, diskId, note, signal } = this.#options;
    const onForbidden = (): void => note(sessionMessage('XFER-307', { alias, id: diskId }));
    const options = { isOpen: true, onForbidden };
    const phase = await endTransfer(engine, this.#transfer.id, 'finalize', signal, options);
    this.#isOver = true;
    // All bytes of a download are here: its phase does not matter.
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
    const now = await this.#stateAfterLoss(cause);
    if (now?.phase === 'transferring' && !this.#isKnown(now)) return await this.#adopt(now);
    if (now?.phase.startsWith('paused')) return await this.#resume(cause);
    await this.#recreate(cause);
  }

  /** Asks for the state. For an upload it waits until the engine has noticed the loss. */
  async #stateAfterLoss(cause: TransferError): Promise<ImageTransfer | undefined> {
    const { engine, direction, signal } = this.#options;
    const ask = (): Promise<ImageTransfer | undefined> =>
      engine.transfer(this.#transfer.id, signal);
    if (direction === 'download') return await ask();
    const { timings } = engine;
    const poll = pollUntil(
      async () => {
        const now = await ask();
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
    await this.#adopt(await waitTransferring(this.#options, { id: this.#transfer.id }));
  }

  /** Only once, and never for an upload: the engine deletes its disk with the transfer. */
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
