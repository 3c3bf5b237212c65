/** Object Lock of a bucket: whether it is set up, and the retention of single objects. */
import { RepositoryError } from '../../core/errors.ts';
import type { FileLocks, Immutability } from '../store.ts';
import type { Bucket, Retention } from './requests/bucket.ts';
import { nameOf, statusOf } from './requests/failures.ts';

/** Requests for single objects that run at the same time. */
const PARALLEL = 8;

interface LockSettings {
  readonly isEnabled: boolean;
  readonly hasDefault: boolean;
}

/** Lock settings of a bucket. They are read once. */
export class BucketLocks {
  readonly #bucket: Bucket;
  readonly #immutability: Immutability | undefined;
  #settings: Promise<LockSettings> | undefined;

  constructor(bucket: Bucket, immutability: Immutability | undefined) {
    this.#bucket = bucket;
    this.#immutability = immutability;
  }

  /** Lock of an object that is written now, by the clock of the server. */
  retention(): Retention | undefined {
    const { mode, periodMs } = this.#immutability ?? {};
    if (mode === undefined || periodMs === undefined) return undefined;
    const untilMs = this.#bucket.connection.serverNowMs() + periodMs;
    return { mode: mode === 'compliance' ? 'COMPLIANCE' : 'GOVERNANCE', untilMs: seconds(untilMs) };
  }

  /** @throws {@link RepositoryError} `REPOSITORY_UNSUPPORTED` for a bucket that cannot lock */
  async check(): Promise<void> {
    const { connection, name } = this.#bucket;
    const { Status: status } = await connection.send(
      `read the versioning of bucket ${name}`,
      async (client) =>
        client.send(new connection.sdk.GetBucketVersioningCommand({ Bucket: name })),
    );
    if (status !== 'Enabled') {
      throw unsupported(`bucket ${name} keeps no versions, so it cannot lock objects`);
    }
    this.#bucket.versions.isVersioned = true;
    const { isEnabled, hasDefault } = await this.settings();
    if (!isEnabled) throw unsupported(`bucket ${name} has no Object Lock`);
    if (hasDefault) {
      throw new RepositoryError(
        'REPOSITORY_UNSUPPORTED',
        `bucket ${name} has a default retention, which would lock the lock of the repository too`,
        { hint: 'delete the default retention of the bucket; each file gets its own' },
      );
    }
  }

  async settings(): Promise<LockSettings> {
    this.#settings ??= this.#readSettings().catch((error: unknown) => {
      this.#settings = undefined;
      throw error;
    });
    return await this.#settings;
  }

  async #readSettings(): Promise<LockSettings> {
    const { connection, name } = this.#bucket;
    return await connection.send<LockSettings>(
      `read the Object Lock of bucket ${name}`,
      async (client) => {
        const { ObjectLockConfiguration: found } = await client.send(
          new connection.sdk.GetObjectLockConfigurationCommand({ Bucket: name }),
        );
        return {
          isEnabled: found?.ObjectLockEnabled === 'Enabled',
          hasDefault: found?.Rule?.DefaultRetention?.Mode !== undefined,
        };
      },
      (error) => {
        // Servers without Object Lock do not know the request.
        const isAbsent = nameOf(error) === 'ObjectLockConfigurationNotFoundError';
        const isUnknown = statusOf(error) === 501 || statusOf(error) === 400;
        return isAbsent || isUnknown
          ? { result: { isEnabled: false, hasDefault: false } }
          : undefined;
      },
    );
  }

  /** Locks of the files of a folder. */
  filesOf(keyOf: (fileName: string) => string): FileLocks {
    return {
      lockedUntil: async (fileNames) => {
        const until = new Map<string, number>();
        if (!(await this.settings()).isEnabled) return until;
        await inParallel(fileNames, async (fileName) => {
          const found = await this.#read(keyOf(fileName));
          if (found) until.set(fileName, found.untilMs);
        });
        return until;
      },
      extend: async (fileNames, untilMs) => {
        if (!(await this.settings()).isEnabled) {
          throw unsupported(`bucket ${this.#bucket.name} has no Object Lock`);
        }
        await inParallel(fileNames, async (fileName) => {
          const key = keyOf(fileName);
          const found = await this.#read(key);
          if (found && found.untilMs >= untilMs) return;
          const mode = found?.mode ?? this.retention()?.mode ?? 'GOVERNANCE';
          await this.#write(key, { mode, untilMs: seconds(untilMs) });
        });
      },
    };
  }

  async #read(key: string): Promise<Retention | undefined> {
    const { connection, name } = this.#bucket;
    return await connection.send<Retention | undefined>(
      `read the lock of ${this.#bucket.urlOf(key)}`,
      async (client) => {
        const { Retention: found } = await client.send(
          new connection.sdk.GetObjectRetentionCommand({ Bucket: name, Key: key }),
        );
        const untilMs = found?.RetainUntilDate?.getTime();
        if (!found?.Mode || untilMs === undefined) return undefined;
        return { mode: found.Mode, untilMs };
      },
      (error) => {
        const isNone = /^NoSuch(?:ObjectLockConfiguration|Key)$/.test(nameOf(error));
        return isNone ? { result: undefined } : undefined;
      },
    );
  }

  async #write(key: string, { mode, untilMs }: Retention): Promise<void> {
    const { connection, name } = this.#bucket;
    await connection.send(`lock ${this.#bucket.urlOf(key)}`, async (client) =>
      client.send(
        new connection.sdk.PutObjectRetentionCommand({
          Bucket: name,
          Key: key,
          Retention: { Mode: mode, RetainUntilDate: new Date(untilMs) },
        }),
      ),
    );
  }
}

/** Servers cut fractions of a second. A lock must not become shorter by that. */
function seconds(timeMs: number): number {
  return Math.ceil(timeMs / 1000) * 1000;
}

async function inParallel(
  names: readonly string[],
  work: (name: string) => Promise<void>,
): Promise<void> {
  const left = [...names];
  const worker = async (): Promise<void> => {
    for (let name = left.pop(); name !== undefined; name = left.pop()) await work(name);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

function unsupported(message: string): RepositoryError {
  return new RepositoryError('REPOSITORY_UNSUPPORTED', message, {
    hint: 'make a new bucket with Object Lock (and versioning) enabled, or work without --immutable',
  });
}
