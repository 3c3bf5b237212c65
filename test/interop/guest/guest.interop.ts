/** Backups of a guest that writes into its file systems all the time. QMP freezes its disks. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { LabVm } from '../../../lab/src/types.ts';
import { KIB, MIB } from '../../../src/core/units.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { IS_LONG_FORM } from '../../helpers/longForm.ts';
import { mib, useInterop } from '../bench.ts';
import { env } from '../environment.ts';
import { qemuImg } from '../qemu/qemu.ts';
import { containersOf, isDisk, readIndependently } from '../readers/readers.ts';
import { expectSameFileSystems, type FileSystemImage } from './fileSystems.ts';
import { Guest } from './guest.ts';
import { type FreezeMethod, GuestDisk } from './guestDisk.ts';

/** Emulation is slow on a machine with other work. */
const TIMEOUT_MS = 900_000;
const DISKS = [
  { name: 'vda', kind: 'ext4', sizeBytes: 64 * MIB, make: ['mkfs.ext4', '-q', '-F'] },
  // The smallest size that mkfs.xfs accepts.
  { name: 'vdb', kind: 'xfs', sizeBytes: 300 * MIB, make: ['mkfs.xfs', '-q', '-f'] },
] as const;

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

type Freeze = readonly [string, FreezeMethod, readonly [number, number]];

const HYBRID: Freeze = ['hybrid backups: overlay and commit', 'overlay', [4, 7]];
const LIVE: Freeze = ['live backups: fleecing', 'fleecing', [4, 6]];

describe.each(IS_LONG_FORM ? [HYBRID, LIVE] : [HYBRID])(
  'a guest that writes during %s',
  (what, method, compatibility) => {
    let disks: GuestDisk[] = [];
    let guest: Guest | undefined;
    const bench = useInterop((folder, spec) => {
      const disk = new GuestDisk(folder, spec, method);
      disks.push(disk);
      return disk;
    });

    afterEach(async () => {
      await guest?.stop();
      guest = undefined;
      disks = [];
    });

    function makeFileSystems(): void {
      for (const [at, { make, sizeBytes }] of DISKS.entries()) {
        const raw = path.join(bench.folder, 'made.raw');
        writeFileSync(raw, '');
        truncateSync(raw, sizeBytes);
        const [tool, ...args] = make;
        execFileSync(tool, [...args, raw]);
        const { image } = (disks[at] as GuestDisk).drive;
        qemuImg('convert', '-f', 'raw', '-O', image.format, raw, image.path);
        rmSync(raw);
      }
    }

    function boot(): Guest {
      const { folder } = bench;
      const drives = disks.map(({ drive }) => drive);
      const started = Guest.start({ folder, bootFolder: env('INTEROP_GUEST'), drives });
      for (const disk of disks) disk.connect(started);
      return started;
    }

    /** Backs up the VM. The reads pause until the guest has written four more rounds. */
    async function backup(vm: LabVm, running: Guest, scenario: string): Promise<SessionReport> {
      bench.imageio.front.afterBytes(256 * KIB, () => running.waitForRounds(4));
      const report = await bench.backup(vm);
      bench.served(`guest, ${method}: ${scenario}`);
      return report;
    }

    async function restore(vm: LabVm, report: SessionReport): Promise<FileSystemImage[]> {
      const restored = await bench.restoreFiles(vm, report);
      return restored.map(({ alias, path: restoredPath, view }): FileSystemImage => {
        const kind = DISKS.find(({ name }) => name === alias)?.kind ?? 'ext4';
        return { kind, restoredPath, referencePath: view.referencePath };
      });
    }

    async function expectReadable(vm: LabVm, reports: readonly SessionReport[]): Promise<void> {
      const { files, chain } = readIndependently(
        containersOf(path.join(bench.folder, 'repository'), reports),
      );
      expect(files.flatMap(({ warnings }) => warnings)).toEqual([]);
      const expected = await Promise.all(
        reports.map(async (report) => {
          const views = DISKS.map(({ name }) => bench.frozen(vm, report, name).referencePath);
          return await Promise.all(views.map(sha256Of));
        }),
      );
      const read = chain.map(({ disks }) => disks.filter(isDisk).map(({ sha256 }) => sha256));
      expect(read).toEqual(expected);
    }

    it(
      'is restored as it was at each frozen view, and its file systems are sound',
      async () => {
        const vm = bench.addVm('guest', DISKS, { compatibility });
        makeFileSystems();
        guest = boot();
        guest.waitForRounds(10);

        const full = await backup(vm, guest, 'full');
        guest.waitForRounds(5);
        const increment = await backup(vm, guest, 'increment');
        const rounds = guest.round();
        // The bitmaps are in the images, so they must survive a restart of the guest.
        await guest.stop();
        guest = boot();
        guest.waitForRounds(5);
        const afterBoot = await backup(vm, guest, 'increment after a restart of the guest');
        await guest.stop();

        const reports = [full, increment, afterBoot];
        const images: FileSystemImage[] = [];
        for (const report of reports) images.push(...(await restore(vm, report)));
        const fileCount = expectSameFileSystems(bench.folder, env('INTEROP_GUEST'), images);
        await expectReadable(vm, reports);
        for (const disk of [...increment.disks, ...afterBoot.disks]) {
          expect(disk.mode).toBe('incremental');
        }
        const overwritten = disks.flatMap(({ overwrittenBytes }) => overwrittenBytes);
        expect(overwritten).toHaveLength(6);
        expect(Math.min(...overwritten)).toBeGreaterThan(0);
        const total = mib(overwritten.reduce((sum, bytes) => sum + bytes, 0));
        bench.tell(
          what,
          `${rounds} rounds of writes; overwritten while read ${total} MiB`,
          'guest',
        );
        bench.tell(`${what}: ext4, journal replayed`, `${fileCount} files with xfs`, 'e2fsck');
        bench.tell(`${what}: xfs, journal replayed`, '', 'xfs_repair');
      },
      TIMEOUT_MS,
    );
  },
);
