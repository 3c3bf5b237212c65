/** The end of a try of a request after the session was stopped. */
import type { S3Client } from '@aws-sdk/client-s3';

/** The part of a client that requests need. */
export type Sender = Pick<S3Client, 'send'>;

/** Time that a request under way still has after a stop. */
export const GRACE_MS = 2000;
/** Time of a request that begins after a stop: it cleans up. */
export const CLEANUP_MS = 5000;

/** Ends one try some time after a stop. */
export class TryLimit {
  readonly #abort = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  endIn(ms: number): void {
    this.#timer = setTimeout(() => this.#abort.abort(), ms);
  }

  /** A client whose requests end with this try. */
  over(client: S3Client): Sender {
    const options = { abortSignal: this.#abort.signal };
    const send = (command: Parameters<S3Client['send']>[0]): unknown =>
      client.send(command, options);
    return { send: send as S3Client['send'] };
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
