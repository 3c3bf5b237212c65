/** Names that an engine or a user may give: nothing is committed that cannot be read again. */
import { copyFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { LabMatch } from '../../lab/src/index.ts';
import { type JournalRecord, leftBackupJournal } from '../../src/repository/journal.ts';
import { listRepository } from '../../src/sessions/inspect/listRepository.ts';
import { verifyRepository } from '../../src/sessions/verify/verifyRepository.ts';
import { BLOCK_BYTES, blocks, writeImage } from '../helpers/bytes/images.ts';
import { expectCode } from '../helpers/codes.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { backup, expectRestored } from '../helpers/repository/imageSessions.ts';
import { strayFilesOf, vmFolderOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';
import { DiskFolder } from '../../src/store/folder/diskFolder.ts';

const bench = useLab();
const temp = useTempFolder();
afterEach(() => {
  vi.useRealTimers();
});

function addVm(vmName: string, alias: string): ReturnType<typeof bench.lab.addVm> {
  const vm = bench.lab.addVm({ name: vmName, disks: [{ name: alias, sizeBytes: BLOCK_BYTES }] });
  vm.disks[0]?.write(0, Buffer.from('some data'));
  return vm;
}

/** Copies the journal of the folder at the first request that fits. */
function copyJournalAt(match: LabMatch): () => Promise<JournalRecord | undefined> {
  const copy = temp.make('journal');
  bench.lab.faults.add(match, {
    run: () => {
      const folder = vmFolderOf(bench.repository);
      const name = readdirSync(folder).find((file) => file.endsWith('.ndjson')) ?? '';
      copyFileSync(path.join(folder, name), path.join(copy, 'journal.ndjson'));
    },
  });
  return () => leftBackupJournal(new DiskFolder(copy));
}

describe('the names of a VM and its disk', () => {
  it.each([255, 256, 1024, 3000])('may have %d characters', async (chars) => {
    const [name, alias] = ['v'.repeat(chars), 'd'.repeat(chars)];
    const vm = addVm(name, alias);
    await bench.backup(vm);

    await bench.backup(vm);

    const { vms } = await listRepository({ repository: bench.repository });
    const [listed] = vms;
    const bounded = (text: string): string =>
      chars > 1024 ? `${text.slice(0, 1023)}…` : text.slice(0, 1024);
    expect(listed?.vmName).toBe(bounded(name));
    expect(listed?.points.map(({ disks }) => disks[0]?.alias)).toEqual([
      bounded(alias),
      bounded(alias),
    ]);
    const { damage } = await verifyRepository({ repository: bench.repository, workers: 0 });
    expect(damage).toEqual([]);
  });

  it('may be empty, of the disk', async () => {
    const vm = addVm('web01', '');

    await bench.backup(vm);

    const { vms } = await listRepository({ repository: bench.repository });
    expect(vms[0]?.points[0]?.disks[0]?.alias).toBe(vm.disks[0]?.id);
  });

  it('leave a journal that a clean-up can read', async () => {
    const vm = addVm('v'.repeat(300), 'd'.repeat(300));
    const left = copyJournalAt({ server: 'engine', method: 'POST', path: /\/finalize/ });
    await bench.backup(vm);
    const ofBackup = await left();
    expect(ofBackup?.isDamaged).toBe(false);
    expect(ofBackup?.entries[0]).toMatchObject({ step: 'session', vmId: vm.id });
    const leftOfRestore = copyJournalAt({ server: 'engine', method: 'POST', path: /\/vms$/ });

    await bench.restore(vm, { asVm: 'again' });

    const record = await leftOfRestore();
    expect(record?.isDamaged).toBe(false);
    expect(record?.entries.map(({ step }) => step)).toContain('disk-starting');
  });
});

it('a point that could not be read again is not committed', async () => {
  const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('Ab'))];
  await backup(repository, image);
  vi.useFakeTimers({ toFake: ['Date'], now: new Date('+010000-01-01T00:00:00Z') });

  await expectCode(backup(repository, image), 'REPOSITORY_METADATA_INVALID');

  vi.useRealTimers();
  expect(strayFilesOf(repository)).toEqual([]);
  await expectRestored(repository, { a: blocks('Ab') });
  expect(await backup(repository, image)).toMatchObject({ pointNumber: 2, messages: [] });
});
