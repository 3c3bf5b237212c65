/** Connects to the image server of a transfer over the best way that works. */
import { BackupError } from '../../core/errors.ts';
import { sessionMessage } from '../../core/messages.ts';
import type { ImageTransfer } from '../engine/entities.ts';
import { ImageioClient } from '../imageio/imageioClient.ts';
import type { ImageioOptions } from '../imageio/imageioTransport.ts';
import { openLocal } from '../imageio/localSocket.ts';
import { retryData } from '../imageio/dataRetry.ts';
import { notingWait, type OnWait } from '../waits.ts';
import type { TransferOptions } from './transferStart.ts';

/**
 * Opens a client: on the host itself over its unix socket, otherwise straight to the host,
 * otherwise through the engine's proxy. The caller closes the client.
 *
 * @throws as {@link ImageioClient.open}
 */
export async function openClient(
  options: TransferOptions,
  transfer: ImageTransfer,
): Promise<ImageioClient> {
  const { engine, connections, direction, log, note, signal } = options;
  const { timings } = engine;
  const { caPem, onWait } = engine.client;
  const imageio: ImageioOptions = { caPem, timings, connections, direction };
  const { transferUrl = '', proxyUrl } = transfer;
  try {
    const client = await openWithRetry(transferUrl, imageio, signal, onWait);
    const local = await openLocal(transferUrl, client, imageio, log);
    if (!local) return client;
    await client.close();
    return local;
  } catch (error) {
    if (!isUnreachable(error) || !proxyUrl || proxyUrl === transferUrl) throw error;
    const reason = String(error.details['reason']);
    note(sessionMessage('XFER-301', { url: new URL(transferUrl).origin, reason }));
    return await openWithRetry(proxyUrl, imageio, signal, onWait);
  }
}

/** Repeats a first request that is cut off. An unreachable address is final: the proxy is next. */
async function openWithRetry(
  secretUrl: string,
  imageio: ImageioOptions,
  signal: AbortSignal,
  onWait: OnWait | undefined,
): Promise<ImageioClient> {
  const retryDelayMs = imageio.timings.blockRetryMs;
  const client = await retryData({ retryDelayMs, signal }, async () => {
    try {
      return await notingWait(onWait, () => ImageioClient.open(secretUrl, imageio, signal));
    } catch (error) {
      if (isUnreachable(error)) return error;
      throw error;
    }
  });
  if (client instanceof BackupError) throw client;
  return client;
}

function isUnreachable(error: unknown): error is BackupError {
  return error instanceof BackupError && error.code === 'TRANSFER_UNREACHABLE';
}
