/** The events of whole sessions: their order, and one end for each disk and session. */
import { describe, expect, it } from 'vitest';
import type { ProgressEvent } from '../../src/sessions/shared/progress.ts';
import { pruneRepository } from '../../src/sessions/retention/pruneRepository.ts';
import { restoreImages } from '../../src/sessions/restore/restoreImages.ts';
import { synthesizeFull } from '../../src/sessions/retention/synthesizeFull.ts';
import { verifyRepository } from '../../src/sessions/verify/verifyRepository.ts';
import { BLOCK_BYTES, blocks, writeImage } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const MIB = 1024 * 1024;
const temp = useTempFolder();
const bench = useLab();

const BUSY = {
  fault: { reason: 'Operation Failed', detail: '[The VM is during a backup operation.]' },
};

/** Collects events. `act` sees each of them first. */
function collect(act: (event: ProgressEvent) => void = () => {}): {
  readonly events: ProgressEvent[];
  readonly onProgress: (event: ProgressEvent) => void;
} {
  const events: ProgressEvent[] = [];
  const onProgress = (event: ProgressEvent): void => {
    events.push(event);
    act(event);
  };
  return { events, onProgress };
}

/** Events as words, without progress, which depends on time. */
function story(events: readonly ProgressEvent[]): string[] {
  return events.flatMap((event) => {
    if (event.type === 'diskProgress' || event.type === 'containerProgress') return [];
    if (event.type === 'phase') return event.phase;
    if (event.type === 'waiting') return `waits for ${event.waitsFor}: ${event.reason}`;
    if (event.type === 'resumed') return 'resumed';
    if (event.type === 'disksPlanned')
      return `plan ${event.disks.map((disk) => disk.alias).join(',')}`;
    if (event.type === 'diskStarted') return `start ${event.alias}`;
    return event.type === 'diskEnded' ? `${event.result} ${event.alias}` : event.result;
  });
}

/** Each started disk has one end after its progress. The session ends last, once. */
function expectSound(events: readonly ProgressEvent[]): void {
  const open = new Set<string>();
  for (const event of events) {
    if (event.type === 'diskStarted') {
      expect(open).not.toContain(event.diskId);
      open.add(event.diskId);
    }
    if (event.type === 'diskProgress') expect(open).toContain(event.diskId);
    if (event.type === 'diskEnded') expect(open.delete(event.diskId)).toBe(true);
  }
  expect(open).toEqual(new Set());
  expect(events.filter((event) => event.type === 'ended')).toEqual([events.at(-1)]);
}

function sorted(numbers: readonly (number | undefined)[]): number[] {
  return numbers.flatMap((number) => number ?? []).toSorted((a, b) => a - b);
}

function addVm(): ReturnType<typeof bench.lab.addVm> {
  const disks = ['a', 'b'].map((name) => ({ name, sizeBytes: 8 * MIB }));
  const vm = bench.lab.addVm({ name: 'web01', disks });
  vm.disk('a').write(MIB, noise(1, 2 * MIB));
  vm.disk('b').write(0, noise(2, MIB));
  return vm;
}

describe('a backup of a VM', () => {
  it('tells its phases and disks in order, with the bytes that are to be read', async () => {
    const vm = addVm();
    const { events, onProgress } = collect();

    await bench.backup(vm, { onProgress });

    expectSound(events);
    const told = story(events);
    expect(told.slice(0, 4)).toEqual(['preparing', 'plan a,b', 'freezing', 'reading']);
    expect(told.slice(4, 8).toSorted()).toEqual(['done a', 'done b', 'start a', 'start b']);
    expect(told.slice(8)).toEqual(['finalizing', 'committing', 'done']);
    const started = events.filter((event) => event.type === 'diskStarted');
    expect(started.map((disk) => [disk.mode, disk.sizeBytes])).toEqual([
      ['full', 8 * MIB],
      ['full', 8 * MIB],
    ]);
    expect(sorted(started.map((disk) => disk.dataBytes))).toEqual([MIB, 2 * MIB]);
    const ended = events.filter((event) => event.type === 'diskEnded');
    expect(sorted(ended.map((disk) => disk.doneBytes))).toEqual([MIB, 2 * MIB]);
    expect(events.at(-1)).toMatchObject({ vmName: 'web01', vmId: vm.id });
  });

  it('counts only changed blocks in an increment', async () => {
    const vm = addVm();
    await bench.backup(vm);
    vm.disk('a').write(5 * MIB, noise(3, 10));
    const { events, onProgress } = collect();

    const { disks } = await bench.backup(vm, { onProgress });

    const started = events.filter((event) => event.type === 'diskStarted');
    const sum = started.reduce((bytes, disk) => bytes + (disk.dataBytes ?? NaN), 0);
    expect(sum).toBe(disks.reduce((bytes, disk) => bytes + disk.readBytes, 0));
    expect(sum).toBeLessThan(2 * MIB);
  });

  it('that fails ends one disk as failed and no other', async () => {
    const vm = addVm();
    const path = /\/images\/[^/]+$/;
    bench.lab.faults.add({ server: 'imageio', method: 'GET', path }, { status: 403 });
    const { events, onProgress } = collect();

    await expect(bench.backup(vm, { onProgress })).rejects.toBeDefined();

    expectSound(events);
    const told = story(events);
    expect(told.filter((word) => word.startsWith('failed '))).toHaveLength(1);
    expect(told.slice(-2)).toEqual(['stopping', 'failed']);
  });

  it('that is cancelled ends its disks as cancelled', async () => {
    const vm = addVm();
    const stop = new AbortController();
    const { events, onProgress } = collect((event) => {
      if (event.type === 'diskStarted') stop.abort();
    });

    await expect(bench.backup(vm, { onProgress, signal: stop.signal })).rejects.toMatchObject({
      code: 'CANCELLED',
    });

    expectSound(events);
    expect(story(events)).toContainEqual(expect.stringMatching(/^cancelled [ab]$/));
    expect(story(events).slice(-2)).toEqual(['stopping', 'cancelled']);
  });

  it.each([
    [
      'the engine',
      { server: 'engine', method: 'GET', path: /\/vms\/[^/]+$/, nth: 2, times: 2 },
      { status: 503 },
      ['waits for engine: HTTP 503', 'resumed'],
      ['web01 waiting: the engine does not answer (HTTP 503)'],
    ],
    [
      'the image server',
      { server: 'imageio', method: 'GET', path: /\/extents/, nth: 1 },
      { status: 503 },
      ['waits for imageServer: HTTP 503', 'resumed'],
      ['web01 waiting: the image server does not answer (HTTP 503)'],
    ],
    [
      'another backup',
      { server: 'engine', method: 'POST', path: /\/backups(?:$|\?)/, nth: 1 },
      { status: 409, body: BUSY },
      ['waits for vm: The VM is during a backup operation.', 'resumed'],
      ['web01 waiting: another backup of this VM is in progress'],
    ],
  ] as const)('tells that it waits for %s', async (_name, match, action, told, texts) => {
    const vm = addVm();
    bench.lab.faults.add(match, action);
    const { events, onProgress } = collect();
    const statuses: string[] = [];

    await bench.backup(vm, { onProgress, onStatus: (text) => void statuses.push(text) });

    expectSound(events);
    const waits = story(events).filter((word) => /^(waits for |resumed)/.test(word));
    expect(waits).toEqual(told);
    expect(statuses.filter((text) => text.includes('waiting:'))).toEqual(texts);
  });

  it('that is not found ends as failed', async () => {
    const vm = addVm();
    const { events, onProgress } = collect();

    await expect(bench.backup(vm, { vms: ['nobody'], onProgress })).rejects.toBeDefined();

    expect(story(events)).toEqual(['preparing', 'failed']);
    expect(events[0]).toMatchObject({ vmName: 'nobody', vmId: '' });
  });

  it('goes on when the callback throws', async () => {
    const vm = addVm();
    const { onProgress } = collect(() => {
      throw new Error('a bug of the caller');
    });

    const { disks } = await bench.backup(vm, { onProgress });

    expect(disks).toHaveLength(2);
  });
});

describe('a restore to the engine', () => {
  it('tells its phases, and what it has sent', async () => {
    const vm = addVm();
    await bench.backup(vm);
    const { events, onProgress } = collect();

    await bench.restore(vm, { asVm: 'new', onProgress });

    expectSound(events);
    const told = story(events);
    expect(told.slice(0, 3)).toEqual(['preparing', 'plan a,b', 'uploading']);
    expect(told.slice(-2)).toEqual(['creatingVm', 'done']);
    const ended = events.filter((event) => event.type === 'diskEnded');
    expect(sorted(ended.map((disk) => disk.sentBytes))).toEqual([MIB, 2 * MIB]);
    expect(events.at(-1)).toMatchObject({ vmName: 'new', vmId: bench.lab.vm('new').id });
  });
});

async function chain(): Promise<string> {
  const repository = temp.path('repo');
  const image = temp.path('a');
  for (const content of ['Aa0', 'Bb0', 'Bc0']) {
    await backup(repository, writeImage(image, blocks(content)));
  }
  return repository;
}

describe('sessions over images', () => {
  it('tell what a backup does', async () => {
    const { events, onProgress } = collect();

    await backup(temp.path('repo'), writeImage(temp.path('a'), blocks('Aa0')), { onProgress });

    expectSound(events);
    const told = ['preparing', 'plan a', 'reading', 'start a', 'done a', 'committing', 'done'];
    expect(story(events)).toEqual(told);
  });

  it('tell what a restore does', async () => {
    const repository = await chain();
    const { events, onProgress } = collect();

    await restoreImages({ repository, vm: VM, output: temp.path('out'), workers: 0, onProgress });

    expectSound(events);
    expect(story(events)).toEqual(['preparing', 'plan a', 'writing', 'start a', 'done a', 'done']);
    const [started] = events.filter((event) => event.type === 'diskStarted');
    expect(started).toMatchObject({ dataBytes: 2 * BLOCK_BYTES, sizeBytes: 3 * BLOCK_BYTES });
  });

  const MERGE = ['preparing', 'plan a', 'merging', 'start a', 'done a', 'committing', 'done'];

  it('tell what prune does', async () => {
    const repository = await chain();
    const { events, onProgress } = collect();

    await pruneRepository({ repository, keep: { last: 1 }, workers: 0, onProgress });

    expectSound(events);
    expect(story(events)).toEqual(MERGE);
  });

  it('tell what synthesize does', async () => {
    const repository = await chain();
    const { events, onProgress } = collect();

    await synthesizeFull({ repository, vm: VM, workers: 0, onProgress });

    expectSound(events);
    expect(story(events)).toEqual(MERGE);
  });

  it('tell what verify does, with the containers', async () => {
    const repository = await chain();
    const { events, onProgress } = collect();

    await verifyRepository({ repository, workers: 0, onProgress });

    expect(story(events)).toEqual(['preparing', 'verifying', 'done']);
    const checked = events.filter((event) => event.type === 'containerProgress');
    expect(new Set(checked.map((event) => event.fileName)).size).toBe(3);
  });

  it('tell that verify was cancelled', async () => {
    const repository = await chain();
    const stop = new AbortController();
    const { events, onProgress } = collect((event) => {
      if (event.type === 'containerProgress') stop.abort();
    });

    const verified = verifyRepository({ repository, workers: 0, onProgress, signal: stop.signal });

    await expect(verified).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(events.at(-1)).toMatchObject({ type: 'ended', result: 'cancelled' });
  });
});
