/**
 * Connection to the server of the queue. The packages bullmq and ioredis are loaded with the first
 * one. After an outage the connection is made again, and commands wait for that without a limit.
 */
import type { Redis, RedisOptions } from 'ioredis';
import { errnoOf, QueueError, throwIfCancelled, UsageError } from '../core/errors.ts';
import { plainReason } from '../core/errorWords.ts';
import { isLoopback } from '../core/loopback.ts';
import type { Logger } from '../core/log.ts';
import { type SessionMessage, sessionMessage } from '../core/messages.ts';
import { formatDuration } from '../core/units.ts';
import { readCaFile, readSecretFile } from '../store/userFile.ts';
import { parseQueueUrl, type QueueAddress } from './queueUrl.ts';
import { FLEET_TIMINGS, type FleetTimings } from './timings.ts';

export interface QueueSettings {
  /** As {@link parseQueueUrl} takes it. */
  readonly url: string;
  readonly passwordFile?: string | undefined;
  readonly caFile?: string | undefined;
}

export interface LinkOptions {
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly onMessage: (message: SessionMessage) => void;
  /** @defaultValue {@link FLEET_TIMINGS} */
  readonly timings?: FleetTimings | undefined;
}

type Bull = typeof import('bullmq');
type ClientOptions = Omit<RedisOptions, 'replyMapping'>;

const PACKAGES = 'bullmq ioredis';
/** BullMQ asks for commands that came with it. */
const OLDEST_VERSION = [6, 2] as const;
const REACH_HINT = 'check the URL, and whether the server runs and takes connections from here';
const TLS_HINT = 'its port must speak TLS, and --queue-ca names its CA';
const AUTH_TEXT = /^(NOAUTH|WRONGPASS|NOPERM)\b|\bAUTH\b.*password/;

async function loadPackages(): Promise<{ bull: Bull; Client: typeof Redis }> {
  try {
    const [bull, ioredis] = await Promise.all([import('bullmq'), import('ioredis')]);
    return { bull, Client: ioredis.Redis };
  } catch (error) {
    throw new UsageError('TOOL_MISSING', 'the packages of the queue are not installed', {
      hint: `npm install ${PACKAGES}`,
      cause: error,
    });
  }
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` for files that cannot be used */
async function clientOptions(
  address: QueueAddress,
  { passwordFile, caFile }: QueueSettings,
  timings: FleetTimings,
  signal: AbortSignal,
): Promise<ClientOptions> {
  const { username, server, isTls } = address;
  const password =
    passwordFile === undefined
      ? undefined
      : await readSecretFile(passwordFile, 'password file', signal);
  const ca =
    caFile === undefined ? undefined : await readCaFile(caFile, 'the server of the queue', signal);
  if (ca !== undefined && !isTls) {
    throw new UsageError('USAGE_INVALID_OPTION', '--queue-ca needs a URL with rediss://');
  }
  if (password !== undefined && !isTls && 'host' in server && !isLoopback(server.host)) {
    throw new UsageError('USAGE_INVALID_OPTION', 'the password of the queue needs TLS', {
      hint: 'use a URL with rediss://, or a tunnel that ends on this machine',
    });
  }
  return {
    ...server,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(isTls ? { tls: ca === undefined ? {} : { ca } } : {}),
    maxRetriesPerRequest: null,
    lazyConnect: true,
    connectTimeout: timings.connectMs,
    socketTimeout: timings.silentMs,
  };
}

/** Reason of a connection that failed. The texts of the server and of TLS name no secret. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message.trim() : String(error);
  return plainReason(errnoOf(error) ?? text);
}

function refused(place: string, text: string, cause: unknown): QueueError {
  const isMissing = text.startsWith('NOAUTH');
  const reason = isMissing ? 'the server asks for a password' : text.slice(0, 200);
  const hint = isMissing
    ? 'give the file with its password with --queue-password-file'
    : 'check --queue-password-file, and the rights of the user on the server';
  return new QueueError('QUEUE_AUTH_REFUSED', `queue ${place}: ${reason}`, { cause, hint });
}

/** An error of the server or of the way to it. */
export function queueFailure(place: string, error: unknown): QueueError {
  const text = error instanceof Error ? error.message : '';
  if (AUTH_TEXT.test(text)) return refused(place, text, error);
  return new QueueError('QUEUE_UNREACHABLE', `queue ${place}: ${reasonOf(error).slice(0, 300)}`, {
    cause: error,
    hint: place.startsWith('rediss:') ? `${REACH_HINT}; ${TLS_HINT}` : REACH_HINT,
    retryable: true,
  });
}

function versionOf(info: string): readonly number[] {
  // Valkey names the version of Redis whose commands it has.
  const text = /^redis_version:([\d.]+)/m.exec(info)?.[1] ?? '';
  return text.split('.').map(Number);
}

function isOld([major = 0, minor = 0]: readonly number[]): boolean {
  return major < OLDEST_VERSION[0] || (major === OLDEST_VERSION[0] && minor < OLDEST_VERSION[1]);
}

/** A connection, and the library of the queue over it. */
export class QueueLink implements AsyncDisposable {
  readonly redis: Redis;
  readonly bull: Bull;
  /** The server, as messages show it. */
  readonly place: string;
  readonly timings: FleetTimings;
  readonly #options: LinkOptions;
  /** False until the first connection, and again at the end. */
  #mustReconnect = false;
  #lastError: unknown = new Error('no answer');
  #outage: { readonly startedAtMs: number; readonly timer: NodeJS.Timeout } | undefined;
  #isOutageTold = false;

  private constructor(
    { bull, Client }: { readonly bull: Bull; readonly Client: typeof Redis },
    address: QueueAddress,
    client: ClientOptions,
    options: LinkOptions,
  ) {
    const { timings = FLEET_TIMINGS } = options;
    this.bull = bull;
    this.place = address.place;
    this.timings = timings;
    this.#options = options;
    const retryStrategy = (times: number): number | null =>
      this.#mustReconnect ? Math.min(times * 100, timings.reconnectMs) : null;
    this.redis = new Client({ ...client, retryStrategy });
    this.redis.on('error', (error) => this.noteError(error));
  }

  /**
   * Connects. The server must answer within a limited time.
   *
   * @throws {@link QueueError} `QUEUE_UNREACHABLE`, `QUEUE_AUTH_REFUSED`, `QUEUE_UNSUPPORTED`;
   *   {@link UsageError} `USAGE_INVALID_OPTION`, `TOOL_MISSING`
   */
  static async open(settings: QueueSettings, options: LinkOptions): Promise<QueueLink> {
    const { signal, timings = FLEET_TIMINGS } = options;
    const address = parseQueueUrl(settings.url);
    const client = await clientOptions(address, settings, timings, signal);
    const link = new QueueLink(await loadPackages(), address, client, options);
    try {
      await link.#connect();
      await link.#checkServer();
      return link;
    } catch (error) {
      link.redis.disconnect();
      throw error;
    }
  }

  /** For errors of the connections that the library makes. */
  noteError(error: unknown): void {
    this.#lastError = error;
    this.#options.logger.debug({ reason: reasonOf(error) }, 'connection to the queue');
  }

  /** @throws {@link QueueError} `QUEUE_UNREACHABLE` while the server is away */
  assertConnected(): void {
    if (this.redis.status !== 'ready') throw queueFailure(this.place, this.#lastError);
  }

  /** Time of the server, in milliseconds since 1970. */
  async serverTimeMs(): Promise<number> {
    const [seconds, micros] = await this.redis.time();
    return Number(seconds) * 1000 + Number(micros) / 1000;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#mustReconnect = false;
    clearTimeout(this.#outage?.timer);
    this.#outage = undefined;
    this.redis.disconnect();
    await Promise.resolve();
  }

  async #connect(): Promise<void> {
    const { signal } = this.#options;
    throwIfCancelled(signal);
    const limit = AbortSignal.timeout(this.timings.connectMs);
    const stop = (): void => this.redis.disconnect();
    const either = AbortSignal.any([signal, limit]);
    either.addEventListener('abort', stop, { once: true });
    try {
      await this.redis.connect();
    } catch {
      throwIfCancelled(signal);
      throw queueFailure(this.place, this.#lastError);
    } finally {
      either.removeEventListener('abort', stop);
    }
    this.#mustReconnect = true;
    this.redis.on('close', () => this.#onClose());
    this.redis.on('ready', () => this.#onReady());
  }

  async #checkServer(): Promise<void> {
    const { place } = this;
    const info = await this.redis.info().catch((error: unknown) => {
      throw queueFailure(place, error);
    });
    const version = versionOf(info);
    if (isOld(version)) {
      const text = `queue ${place}: the server has version ${version.join('.')}`;
      throw new QueueError('QUEUE_UNSUPPORTED', text, {
        hint: `use Redis ${OLDEST_VERSION.join('.')} or newer, or Valkey`,
      });
    }
    const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? 'noeviction';
    if (policy === 'noeviction') return;
    this.#options.onMessage(sessionMessage('FLT-956', { place, policy }));
  }

  #onClose(): void {
    if (!this.#mustReconnect || this.#outage) return;
    const timer = setTimeout(() => this.#tellOutage(), this.timings.outageMs).unref();
    this.#outage = { startedAtMs: performance.now(), timer };
  }

  #tellOutage(): void {
    this.#isOutageTold = true;
    this.#options.onMessage(sessionMessage('FLT-954', { place: this.place }));
  }

  #onReady(): void {
    const outage = this.#outage;
    this.#outage = undefined;
    if (!outage) return;
    clearTimeout(outage.timer);
    if (!this.#isOutageTold) return;
    this.#isOutageTold = false;
    const span = formatDuration(performance.now() - outage.startedAtMs);
    this.#options.onMessage(sessionMessage('FLT-955', { place: this.place, span }));
  }
}
