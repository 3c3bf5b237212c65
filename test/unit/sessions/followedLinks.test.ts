import { describe, expect, it } from 'vitest';
import { EngineApi } from '../../../src/ovirt/engine/engineApi.ts';
import type { Checkpoint, Vm } from '../../../src/ovirt/engine/entities.ts';
import { readDisks } from '../../../src/sessions/backup/vm/vmInventory.ts';

const DISK = { id: 'd1', alias: 'sys', format: 'cow', contentType: 'data', sizeBytes: 512 };
const ATTACHED = { id: 'd1', bootable: true, active: true, interface: 'virtio', disk: DISK };

/** An engine that answers every request with `answer`, and remembers the paths. */
function engineWith(answer: unknown): { engine: EngineApi; paths: string[] } {
  const paths: string[] = [];
  const ask = async (path: string): Promise<unknown> => {
    paths.push(path);
    return await Promise.resolve(answer);
  };
  return { engine: new EngineApi({ get: ask, find: ask } as never), paths };
}

function checkpoint(diskIds: readonly string[] | undefined): Checkpoint {
  return { id: 'c1', state: 'created', description: '', createdAtMs: undefined, diskIds };
}

describe('the disks of a checkpoint', () => {
  it.each<[string, readonly string[] | undefined, string[]]>([
    ['were followed', ['d1'], []],
    ['came as an empty list', [], ['/vms/v/checkpoints/c1/disks']],
    ['did not come', undefined, ['/vms/v/checkpoints/c1/disks']],
  ])('are asked for unless they %s', async (_what, diskIds, asked) => {
    const { engine, paths } = engineWith([DISK]);

    const found = await engine.checkpointDiskIds('v', checkpoint(diskIds));

    expect([...found]).toEqual(['d1']);
    expect(paths).toEqual(asked);
  });
});

describe('the disks of a VM', () => {
  it.each<[string, unknown, string[]]>([
    ['were followed', [ATTACHED], []],
    ['came as an empty list', [], ['/vms/v/diskattachments']],
    ['did not come', undefined, ['/vms/v/diskattachments']],
  ])('are asked for unless they %s', async (_what, attachments, asked) => {
    const { engine, paths } = engineWith([ATTACHED]);
    const vm = { id: 'v', name: 'web01', attachments } as unknown as Vm;

    const disks = await readDisks(engine, vm, { only: [], exclude: [] });

    expect(disks.map(({ diskId }) => diskId)).toEqual(['d1']);
    expect(paths.filter((path) => path.includes('/vms/'))).toEqual(asked);
  });
});
