/** What all ways of delivery share. */
import type { Logger } from '../../core/log.ts';
import { type RetryOptions, retry } from '../../core/retry.ts';
import type { SecretFile } from '../jobFile.ts';

export type RetryTimes = Pick<RetryOptions, 'attempts' | 'firstDelayMs' | 'windowMs'>;

export interface DeliveryContext {
  readonly jobName: string;
  readonly logger: Logger;
  readonly signal: AbortSignal | undefined;
  readonly readSecret: (secret: SecretFile) => Promise<string>;
  /** Reads a file with a certificate of a CA, as PEM. */
  readonly readCa: (file: string) => Promise<string>;
  readonly retryTimes: RetryTimes;
  /** Time for one try of a mail. @defaultValue ten minutes */
  readonly mailLimitMs?: number | undefined;
}

export interface DeliveryFailureOptions {
  /** The same message may arrive on a second try. */
  readonly isPassing?: boolean;
  /** What to do, as a sentence. */
  readonly hint?: string;
}

/** A notification did not arrive. Text and hint are without secrets. They are shown and logged. */
export class DeliveryFailure extends Error {
  readonly isPassing: boolean;
  readonly hint: string | undefined;

  constructor(reason: string, { isPassing = false, hint }: DeliveryFailureOptions = {}) {
    super(reason);
    this.isPassing = isPassing;
    this.hint = hint;
  }
}

/** Repeats a delivery while its failure may pass. @throws the last failure */
export async function retryDelivery<T>(
  { retryTimes, signal, logger }: DeliveryContext,
  work: () => Promise<T>,
): Promise<T> {
  return await retry(
    {
      ...retryTimes,
      signal,
      shouldRetry: (error) => error instanceof DeliveryFailure && error.isPassing,
      onRetry: (error, delayMs) => {
        logger.info({ delayMs, reason: (error as Error).message }, 'notification: another try');
      },
    },
    work,
  );
}
