/** Wrong use of openVm and of the backup that it gives: order, names, sizes, two at once. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { LabVm } from '../../lab/src/index.ts';
import { EXIT_CODES, exitCodeOf } from '../../src/core/errors.ts';
import { type BackupSource, OpenBackup } from '../../src/sessions/pipe/openBackup.ts';
import type { OpenDisk } from '../../src/sessions/pipe/openDisk.ts';
import { openVm, type OpenVmOptions } from '../../src/sessions/pipe/openVm.ts';
import { PipelineResources } from '../../src/sessions/shared/pipelineResources.ts';
import { MIB } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { expectCode } from '../helpers/codes.ts';
import { pipeAll, pipeOptions, VmCopy } from '../helpers/lab/pipes.ts';
import { FaultyFiles } from '../helpers/faults/faultyFiles.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const bench = useLab();
const folder = useTempFolder();

function addVm(name = 'web01'): LabVm {
  const disks = [
    { name: 'sys', sizeBytes: 2 * MIB + 512, bootable: true },
    { name: 'data', sizeBytes: MIB },
  ];
  const vm = bench.lab.addVm({ name, disks });
  for (const disk of vm.disks) disk.write(0, noise(disk.name, MIB));
  return vm;
}

async function open(given: Partial<OpenVmOptions> = {}): Promise<OpenBackup> {
  return await openVm(pipeOptions(bench, given));
}

const SINK = { block: () => {}, zero: () => {} };
const WRONG_STATE = 'USAGE_WRONG_STATE';

async function pipeRest(backup: OpenBackup): Promise<void> {
  for (const disk of backup.disks) if (!disk.isDone) await disk.pipe(SINK);
}

describe('a backup', () => {
  it('that is left by break cancels, and frees the VM at the end of the block', async () => {
    const vm = addVm();
    {
      await using backup = await open();
      for (const disk of backup.disks) {
        await disk.pipe(SINK);
        break;
      }
      expect(bench.lab.leftovers()).not.toEqual([]);
    }
    expect(bench.lab.leftovers()).toEqual([]);
    expect(vm.checkpointIds()).toEqual([]);
  });

  it('whose pipes nobody waits for is ended by close', async () => {
    const vm = addVm();
    const backup = await open();
    const pipes = backup.disks.map((disk) => disk.pipe(new VmCopy().of(disk).slowSink(20)));
    const ended = Promise.allSettled(pipes);
    await backup.close();
    for (const end of await ended) expect(end.status).toBe('rejected');
    expect(vm.checkpointIds()).toEqual([]);
  });

  it('refuses two pipes of one disk, without harm to the first', async () => {
    const vm = addVm();
    const copy = new VmCopy();
    await using backup = await open();
    const [disk, other] = backup.disks as [OpenDisk, OpenDisk];
    const pipe = disk.pipe(copy.of(disk).slowSink(5));
    await expectCode(disk.pipe(SINK), WRONG_STATE);
    await pipe;
    await expectCode(disk.pipe(SINK), WRONG_STATE);
    await other.pipe(copy.of(other).sink());
    const { checkpointId } = await backup.finish();

    expect(copy.differences(vm, backup, checkpointId)).toEqual([]);
  });

  it('refuses finish while a disk is not piped, and goes on', async () => {
    const vm = addVm();
    await using backup = await open();
    const error = await expectCode(backup.finish(), WRONG_STATE);
    expect(error.message).toContain('sys');
    const [disk] = backup.disks as [OpenDisk];
    const pipe = disk.pipe(new VmCopy().of(disk).slowSink(5));
    await expectCode(backup.finish(), WRONG_STATE);
    await pipe;
    expect((await expectCode(backup.finish(), WRONG_STATE)).message).not.toContain('sys');
    await pipeRest(backup);
    const { checkpointId } = await backup.finish();
    expect(vm.checkpointIds()).toEqual([checkpointId]);
  });

  it('refuses use after finish and after close', async () => {
    const vm = addVm();
    const backup = await open();
    const [disk] = backup.disks as [OpenDisk];
    await pipeRest(backup);
    const { checkpointId } = await backup.finish();
    await expectCode(disk.pipe(SINK), WRONG_STATE);
    await expectCode(backup.finish(), WRONG_STATE);
    await Promise.all([backup.close(), backup.close()]);
    await backup.close();
    await expectCode(disk.pipe(SINK), WRONG_STATE);
    await expectCode(backup.finish(), WRONG_STATE);
    expect(vm.checkpointIds()).toEqual([checkpointId]);
  });

  it('that is finished twice at the same time is finished once', async () => {
    const vm = addVm();
    await using backup = await open();
    await pipeRest(backup);
    const [first, second] = await Promise.allSettled([backup.finish(), backup.finish()]);
    expect([first.status, second.status]).toEqual(['fulfilled', 'rejected']);
    expect(vm.checkpointIds().length).toBe(1);
  });

  it('that is closed while it finishes keeps a checkpoint that finish returns', async () => {
    const vm = addVm();
    const backup = await open();
    await pipeRest(backup);
    const finish = backup.finish().catch(() => undefined);
    await backup.close();
    const report = await finish;
    expect(bench.lab.leftovers()).toEqual([]);
    expect(vm.checkpointIds()).toEqual(report ? [report.checkpointId] : []);
  });

  it('that is closed, or aborted, while it finishes rejects with CANCELLED', async () => {
    addVm();
    const match = { method: 'POST', path: /\/backups\/[^/]+\/finalize$/, times: 1 };
    for (const way of ['close', 'abort']) {
      const stop = new AbortController();
      await using backup = await open({ signal: stop.signal });
      await pipeRest(backup);
      const end = (): void => {
        if (way === 'close') void backup.close();
        else stop.abort();
      };
      bench.lab.faults.add(match, { run: end, hang: true });
      await expectCode(backup.finish(), 'CANCELLED');
    }
  });

  it('whose journal cannot be deleted gives its lock back when it is closed', async () => {
    addVm();
    const files = await FaultyFiles.install(bench.repository);
    try {
      const backup = await open();
      files.failWhere((name, file) =>
        name === 'rm' && file.endsWith('journal.ndjson') ? 'EIO' : undefined,
      );
      await expectCode(backup.close(), 'REPOSITORY_IO');
      files.failWhere(() => undefined);
      const next = await open();
      await next.close();
    } finally {
      files.uninstall();
    }
  });

  it('that is closed while it finishes waits for it, and is not cancelled when it succeeds', async () => {
    const ended: string[] = [];
    const step = async (name: string): Promise<string> => {
      await sleep(1);
      ended.push(name);
      return name;
    };
    const source: BackupSource = {
      vmId: 'id',
      vmName: 'web01',
      disks: [],
      messages: [],
      open: () => Promise.reject(new Error('there is no disk')),
      done: async () => {},
      finish: () => step('checkpoint'),
      stop: () => {},
      abandon: async () => void (await step('abandoned')),
      release: async () => void ended.push('released'),
    };
    const resources = await PipelineResources.create({ blockSizeBytes: MIB, workers: 0 });
    const backup = new OpenBackup(source, { resources });
    const finish = backup.finish();
    await backup.close();
    expect(ended).toEqual(['checkpoint', 'released']);
    expect((await finish).checkpointId).toBe('checkpoint');
  });
});

describe('openVm', () => {
  const INVALID = 'USAGE_INVALID_OPTION';
  it.each([
    [{ blockSizeBytes: 0 }, INVALID],
    [{ blockSizeBytes: 100_000 }, INVALID],
    [{ blockSizeBytes: 3 * MIB }, INVALID],
    [{ blockSizeBytes: 1024 * MIB }, INVALID],
    [{ blockSizeBytes: Number.NaN }, INVALID],
    [{ connections: 0 }, INVALID],
    [{ connections: 9 }, INVALID],
    [{ connections: 1.5 }, INVALID],
    [{ workers: -1 }, INVALID],
    [{ workers: 1.5 }, INVALID],
    [{ vm: 'nobody' }, 'USAGE_NOT_FOUND'],
    [{ disks: ['none'] }, 'USAGE_NOT_FOUND'],
    [{ excludeDisks: ['none'] }, 'USAGE_NOT_FOUND'],
    [{ excludeDisks: ['sys', 'data'] }, 'USAGE_NOT_FOUND'],
  ] as const)('refuses %j', async (given, code) => {
    const vm = addVm();
    const error = await expectCode(open(given), code);
    expect(exitCodeOf(error)).toBe(EXIT_CODES.usage);
    expect(bench.lab.leftovers()).toEqual([]);
    expect(vm.checkpointIds()).toEqual([]);
  });

  it('refuses a journal that is the folder of something else, and leaves it as it is', async () => {
    addVm();
    const journal = folder.make('photos');
    writeFileSync(path.join(journal, 'cat.jpg'), 'a cat');
    await expectCode(open({ journal }), 'REPOSITORY_NOT_FOUND');
    expect(readdirSync(journal)).toEqual(['cat.jpg']);
    const file = path.join(journal, 'cat.jpg');
    await expect(open({ journal: file })).rejects.toMatchObject({ code: /^(REPOSITORY|USAGE)_/ });
  });

  it('of a VM with many disks, piped at the same time, warns of no listeners', async () => {
    const disks = Array.from({ length: 12 }, (_, k) => ({ name: `d${k}`, sizeBytes: MIB }));
    bench.lab.addVm({ name: 'web01', disks });
    const warnings: string[] = [];
    // Files that ran before in this process may have caused others.
    const listen = ({ name, message }: Error): void => {
      if (name === 'MaxListenersExceededWarning') warnings.push(message);
    };
    process.on('warning', listen);
    try {
      await using backup = await open();
      await Promise.all(backup.disks.map((disk) => disk.pipe(SINK)));
      await backup.finish();
    } finally {
      process.off('warning', listen);
    }
    expect(warnings).toEqual([]);
  });

  it('takes an empty folder as journal', async () => {
    addVm();
    const journal = path.join(folder.make('journal'), 'new');
    mkdirSync(journal);
    await using backup = await open({ journal });
    await pipeRest(backup);
    await backup.finish();
  });

  it('is refused for a VM that is piped with the same journal, which goes on', async () => {
    const vm = addVm();
    const copy = new VmCopy();
    await using backup = await open();
    const error = await expectCode(open(), 'REPOSITORY_LOCKED');
    expect(exitCodeOf(error)).toBe(EXIT_CODES.repositoryLocked);
    for (const disk of backup.disks) await disk.pipe(copy.of(disk).sink());
    const { checkpointId } = await backup.finish();
    expect(copy.differences(vm, backup, checkpointId)).toEqual([]);
  });

  it('is refused for a VM that is piped with another journal, which goes on', async () => {
    const vm = addVm();
    const copy = new VmCopy();
    await using backup = await open();
    const error = await open({ journal: folder.path('other') }).catch((given: unknown) => given);
    expect(error).toMatchObject({ code: expect.stringMatching(/^ENGINE_/) as string });
    for (const disk of backup.disks) await disk.pipe(copy.of(disk).sink());
    const { checkpointId } = await backup.finish();
    expect(copy.differences(vm, backup, checkpointId)).toEqual([]);
  });

  it('leaves a foreign backup alone', async () => {
    const vm = addVm();
    const foreign = vm.startForeignBackup();
    await expect(open()).rejects.toMatchObject({
      code: expect.stringMatching(/^ENGINE_/) as string,
    });
    vm.endForeignBackup(foreign);
    const { checkpointId } = await pipeAll(bench, new VmCopy());
    expect(vm.checkpointIds()).toContain(checkpointId);
  });

  it('pipes two VMs at the same time with one journal', async () => {
    const vms = [addVm(), addVm('db01')];
    const piped = vms.map(async (vm) => {
      const copy = new VmCopy();
      const { backup, checkpointId } = await pipeAll(bench, copy, { vm: vm.id });
      return copy.differences(vm, backup, checkpointId);
    });
    expect(await Promise.all(piped)).toEqual([[], []]);
  });
});
