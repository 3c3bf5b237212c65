/** Serves the disks of an opened restore point. */
import type { PointDisk } from '../pointDisk.ts';
import { NbdExport } from './nbdExport.ts';
import { NbdServer, type NbdServerOptions } from './nbdServer.ts';

export interface ServeOptions extends Omit<NbdServerOptions, 'exports'> {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads the extents of all disks, then starts to listen. The name of an export is the alias of its
 * disk, or its id where another disk has the same alias.
 *
 * @throws as {@link NbdServer.start}; errors of the chain
 */
export async function exportDisks(
  disks: readonly PointDisk[],
  options: ServeOptions,
): Promise<NbdServer> {
  const { signal, ...server } = options;
  const exports: NbdExport[] = [];
  for (const disk of disks) {
    const isUnique = disks.filter(({ alias }) => alias === disk.alias).length === 1;
    const name = isUnique ? disk.alias : disk.id;
    exports.push(await NbdExport.create(disk, { name, description: `disk ${disk.id}` }, signal));
  }
  return await NbdServer.start({ ...server, exports });
}
