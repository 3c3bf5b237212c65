/** Restores the last point of a chain of files to image files. */
import { randomUUID } from 'node:crypto';
import { toFailure, UsageError } from '../../core/errors.ts';
import { silentLogger } from '../../core/log.ts';
import { SalvageView } from '../../repository/damage/salvageView.ts';
import { wrapsDisk } from '../../repository/files/diskItems.ts';
import { openFileChain } from '../../repository/files/fileChain.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import {
  type ImageOutputOptions,
  ImageRestore,
  restoreOpened,
  type RestoreReport,
} from '../restore/restoreImages.ts';
import { requireQemuImg } from '../restore/qemuImg.ts';
import { SessionProgress } from '../shared/progress.ts';
import { requireDisks, selectDisks } from '../shared/selectPoint.ts';

export interface RestoreFilesOptions extends ImageOutputOptions {
  /** Containers of a chain, oldest first: ours, or those of others. */
  readonly files: readonly string[];
  /** Name, folder or id of the VM. @defaultValue the only one in the last file */
  readonly vm?: string | undefined;
}

/** Inside qcow2 such a file would be no disk that anything could use. */
function refuseWrapping(point: RestorePoint, { format, disks = [] }: RestoreFilesOptions): void {
  if (format !== 'qcow2') return;
  const wrapped = selectDisks(point, disks).find(({ alias }) => wrapsDisk(alias));
  if (!wrapped) return;
  throw new UsageError(
    'USAGE_INVALID_OPTION',
    `${wrapped.alias} is an image file already, so it cannot become the content of a qcow2 image`,
    { hint: 'use format raw, and convert the result with qemu-img' },
  );
}

async function restoreWith(
  options: RestoreFilesOptions,
  progress: SessionProgress,
): Promise<RestoreReport> {
  const startedAtMs = performance.now();
  progress.phase('preparing');
  if (options.format === 'qcow2') await requireQemuImg();
  const { metadata, point, view: whole, messages } = await openFileChain(options.files, options.vm);
  await using view = whole;
  const { vm } = metadata;
  progress.nameVm(vm);
  requireDisks(point);
  refuseWrapping(point, options);
  const restore = new ImageRestore(options, progress);
  for (const message of messages) restore.tell(message);
  const source = options.skipDamaged ? SalvageView.ofView(view) : view;
  return await restoreOpened(restore, { vm, point, view: source, startedAtMs }, options);
}

/**
 * Restores disks from containers that are named by their paths. The point is that of the last file.
 * Ids in the files tell whether they were given in the right order; where they do not, a message
 * says so. Every block is checked by MD5, and those of LZ4 by CRC. Fingerprints are used where the
 * files hold them.
 *
 * @throws a {@link BackupError}; see docs/errors.md
 */
export async function restoreFiles(options: RestoreFilesOptions): Promise<RestoreReport> {
  const session = { sessionId: randomUUID(), vmName: options.vm ?? '' };
  const progress = new SessionProgress(options, options.logger ?? silentLogger, session);
  return await progress.session(async () => {
    try {
      return await restoreWith(options, progress);
    } catch (error) {
      throw toFailure(error, options.signal);
    }
  });
}
