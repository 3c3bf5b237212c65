/** The lease of a server: taken before it serves, renewed while it serves, deleted at its end. */
import { randomUUID } from 'node:crypto';
import { BackupError, errnoOf, RepositoryError } from '../../core/errors.ts';
import { type MessageCode, type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { removeFileQuietly } from '../../store/textFiles.ts';
import { describeProcess } from '../../store/processIdentity.ts';
import { chainTo, type RestorePoint } from '../restorePoint.ts';
import type { VmFolder } from '../vmFolder.ts';
import { type LeaseContent, leaseName, RENEW_EVERY_MS } from './leases.ts';

/** A user who may only read, or a volume that takes no more, must not keep data from being read. */
const NO_WRITE_ERRNOS = new Set(['EROFS', 'EACCES', 'EPERM']);

export interface LeaseOptions {
  /** Folder of the VM. */
  readonly folder: VmFolder;
  readonly point: RestorePoint;
  /** Containers that the server reads. */
  readonly files: readonly string[];
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
}

export class PointLease {
  readonly #options: LeaseOptions;
  readonly #fileName: string = leaseName(randomUUID());
  readonly #content: string;
  readonly #told = new Set<MessageCode>();
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;
  #renewal: Promise<void> | undefined;

  private constructor(options: LeaseOptions, content: LeaseContent) {
    this.#options = options;
    this.#content = `${JSON.stringify(content)}\n`;
  }

  /**
   * Takes a lease, then makes sure that the chain metadata still names the files. Where nothing can
   * be written, the server has no lease, and message REPO-518 says so.
   *
   * @throws {@link RepositoryError} `CHAIN_CHANGED` when a prune or merge was faster
   */
  static async take(options: LeaseOptions): Promise<PointLease> {
    const { point, files } = options;
    const since = new Date().toISOString();
    const content = { pointId: point.pointId, files, since, process: await describeProcess() };
    const lease = new PointLease(options, content);
    try {
      await lease.#write();
      lease.#timer = setInterval(() => void lease.renew(), RENEW_EVERY_MS).unref();
    } catch (error) {
      await lease.#delete();
      if (!isWriteRefused(error)) throw error;
      lease.#isOver = true;
      lease.#tell('REPO-518', { reason: reasonOf(error) });
    }
    try {
      await lease.#assertCurrent();
    } catch (error) {
      await lease.release();
      throw error;
    }
    return lease;
  }

  /** Deletes the lease. Never throws, and may be called twice. */
  async release(): Promise<void> {
    clearInterval(this.#timer);
    this.#isOver = true;
    // A renewal under way could make the file again.
    await this.#renewal;
    await this.#delete();
  }

  async #delete(): Promise<void> {
    await removeFileQuietly(this.#options.folder.place, this.#fileName);
  }

  /**
   * Gives the lease the time of the file server, and makes a vanished lease again. Says once when
   * that fails, or when files of the point are gone. Never throws.
   */
  async renew(): Promise<void> {
    if (this.#isOver) return;
    this.#renewal ??= this.#renew().finally(() => (this.#renewal = undefined));
    await this.#renewal;
  }

  async #renew(): Promise<void> {
    try {
      const { place } = this.#options.folder;
      if (!(await place.touch(this.#fileName, this.#content))) await this.#write();
    } catch (error) {
      this.#tell('REPO-519', { reason: reasonOf(error) });
      return;
    }
    await this.#checkFiles();
  }

  async #write(): Promise<void> {
    await this.#options.folder.place.writeShared(this.#fileName, this.#content);
  }

  async #assertCurrent(): Promise<void> {
    const { folder, point, files } = this.#options;
    const { points } = await folder.requireMetadata();
    const known = points.find(({ pointId }) => pointId === point.pointId);
    const named = known ? chainTo(points, known).map(({ fileName }) => fileName) : [];
    if (named.length === files.length && named.every((name, k) => name === files[k])) return;
    throw new RepositoryError(
      'CHAIN_CHANGED',
      `restore point ${point.pointId} was pruned or merged after it was opened`,
      { hint: 'open the restore point again', retryable: true },
    );
  }

  /** A prune may have deleted files while the lease was gone, or not been renewed for long. */
  async #checkFiles(): Promise<void> {
    const { folder, files } = this.#options;
    const present = await folder.containerNames().catch(() => files);
    const missing = files.find((file) => !present.includes(file));
    if (missing !== undefined) this.#tell('REPO-520', { file: missing });
  }

  /** Once for each code. */
  #tell(code: MessageCode, fields: Readonly<Record<string, string>>): void {
    if (this.#told.has(code)) return;
    this.#told.add(code);
    const { point, onMessage } = this.#options;
    onMessage?.(sessionMessage(code, { rp: point.pointId, ...fields }));
  }
}

function isWriteRefused(error: unknown): boolean {
  if (!(error instanceof BackupError)) return false;
  return error.code === 'REPOSITORY_FULL' || NO_WRITE_ERRNOS.has(String(error.details['errno']));
}

function reasonOf(error: unknown): string {
  const errno = error instanceof BackupError ? error.details['errno'] : errnoOf(error);
  return String(errno ?? (error instanceof BackupError ? error.code : error));
}
