/** Targets that restore takes and refuses, and images that are not raw. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { backupImages } from '../../src/sessions/backup/backupImages.ts';
import { restoreImages } from '../../src/sessions/restore/restoreImages.ts';
import { onDiskStart } from '../helpers/onDiskStart.ts';
import { blocks, sha256OfFile, writeImage } from '../helpers/bytes/images.ts';
import { backup, restore, VM } from '../helpers/repository/imageSessions.ts';
import { modeOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
afterEach(() => {
  vi.unstubAllEnvs();
});

function hasQemuImg(): boolean {
  try {
    execFileSync('qemu-img', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    console.warn('skipped: qemu-img is not installed, so images are not restored as qcow2');
    return false;
  }
}

async function backUpTwoDisks(): Promise<string> {
  const repository = temp.path('repo');
  const images = [
    writeImage(temp.path('a.raw'), blocks('A0b')),
    writeImage(temp.path('b.raw'), blocks('C')),
  ];
  await backup(repository, images);
  return repository;
}

describe('restore', () => {
  let repository = '';
  beforeEach(async () => {
    repository = await backUpTwoDisks();
  });

  test.each(['name', 'id'])('takes one disk by its %s', async (by) => {
    const { disks } = await backup(repository, [temp.path('a.raw'), temp.path('b.raw')]);
    const disk = disks[1];

    const output = await restore(repository, {
      disks: [(by === 'id' ? disk?.diskId : disk?.alias) ?? ''],
    });

    expect(readdirSync(output)).toEqual(['b.raw']);
    expect(sha256OfFile(path.join(output, 'b.raw'))).toBe(sha256OfFile(temp.path('b.raw')));
  });

  test.each(['disk ü 日本.raw', 'a b (2).raw', `${'ä'.repeat(97)}.raw`])(
    'keeps the name %s',
    async (name) => {
      const image = writeImage(temp.path(name), blocks('AB'));
      await backup(repository, image);

      const output = await restore(repository);

      expect(readdirSync(output)).toEqual([name]);
    },
  );

  test('refuses a disk that the point does not hold', async () => {
    const restored = restore(repository, { disks: ['c.raw'] });

    await expect(restored).rejects.toMatchObject({ code: 'USAGE_NOT_FOUND' });
  });

  test.each(['a.raw', 'b.raw'])('never overwrites %s', async (name) => {
    const output = temp.make('out');
    writeImage(path.join(output, name), Buffer.from('precious'));

    const restored = restoreImages({ repository, vm: VM, output, workers: 0 });

    await expect(restored).rejects.toMatchObject({ code: 'USAGE_OUTPUT_EXISTS' });
    expect(readdirSync(output)).toEqual([name]);
    expect(readFileSync(path.join(output, name), 'utf8')).toBe('precious');
  });

  test('keeps files of others whose names look like its own', async () => {
    const output = temp.make('out');
    writeImage(path.join(output, 'a.raw.partial'), Buffer.from('precious'));

    await restoreImages({ repository, vm: VM, output, workers: 0 });

    expect(readdirSync(output).toSorted()).toEqual(['a.raw', 'a.raw.partial', 'b.raw']);
    expect(readFileSync(path.join(output, 'a.raw.partial'), 'utf8')).toBe('precious');
  });

  test('of two VMs with one file name into one folder lets one win', async () => {
    const twin = { vmName: 'twin', repository, workers: 0 };
    mkdirSync(temp.path('other'));
    const other = writeImage(path.join(temp.path('other'), 'a.raw'), blocks('XYZ'));
    await backupImages({ ...twin, images: [other] });
    const output = temp.path('out');

    const runs = await Promise.allSettled(
      [VM, 'twin'].map((vm) =>
        restoreImages({ repository, vm, output, disks: ['a.raw'], workers: 0 }),
      ),
    );

    const winner = runs.findIndex((run) => run.status === 'fulfilled');
    expect(runs.filter((run) => run.status === 'fulfilled')).toHaveLength(1);
    expect(runs[1 - winner]).toMatchObject({ reason: { code: 'USAGE_OUTPUT_EXISTS' } });
    expect(readdirSync(output)).toEqual(['a.raw']);
    const expected = [temp.path('a.raw'), other][winner] ?? '';
    expect(sha256OfFile(path.join(output, 'a.raw'))).toBe(sha256OfFile(expected));
  });

  test('takes the VM by its id', async () => {
    const { vmId } = await backup(repository, temp.path('a.raw'));
    const output = temp.path('out');

    await restoreImages({ repository, vm: vmId, output, disks: ['a.raw'], workers: 0 });

    expect(sha256OfFile(path.join(output, 'a.raw'))).toBe(sha256OfFile(temp.path('a.raw')));
  });

  test('leaves no file when it is cancelled', async () => {
    const abort = new AbortController();
    const output = temp.path('out');

    const restored = restoreImages({
      repository,
      vm: VM,
      output,
      workers: 0,
      signal: abort.signal,
      onProgress: onDiskStart(() => abort.abort()),
    });

    await expect(restored).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(readdirSync(output)).toEqual([]);
  });

  test('asks for qemu-img before it makes anything', async () => {
    const output = temp.path('out');
    vi.stubEnv('PATH', '');

    const restored = restoreImages({ repository, vm: VM, output, format: 'qcow2' });

    await expect(restored).rejects.toMatchObject({ code: 'TOOL_MISSING' });
    expect(existsSync(output)).toBe(false);
  });

  test.runIf(hasQemuImg())('writes qcow2 images that hold the same bytes', async () => {
    const output = temp.path('out');

    await restoreImages({ repository, vm: VM, output, format: 'qcow2', workers: 0 });
    expect(modeOf(path.join(output, 'a.raw.qcow2'))).toBe('600');

    expect(readdirSync(output).toSorted()).toEqual(['a.raw.qcow2', 'b.raw.qcow2']);
    for (const name of ['a.raw', 'b.raw']) {
      const [qcow2, raw] = [path.join(output, `${name}.qcow2`), temp.path(name)];
      const info: unknown = JSON.parse(
        execFileSync('qemu-img', ['info', '--output=json', qcow2], { encoding: 'utf8' }),
      );
      expect(info).toMatchObject({ format: 'qcow2' });
      execFileSync('qemu-img', ['compare', '-f', 'qcow2', '-F', 'raw', qcow2, raw]);
    }
  });
});
