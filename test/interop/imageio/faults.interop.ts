/** Faults of the real data plane: wrong extents, cut connections, a daemon that is killed. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { LabVm } from '../../../lab/src/types.ts';
import { KIB, MIB } from '../../../src/core/units.ts';
import { failureOf, expectCode } from '../../helpers/codes.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { expectIdentical, useInterop } from '../bench.ts';
import { type Lie, LyingProxy, type WireExtent } from './lyingProxy.ts';

const DATA_BYTES = 24 * MIB;

const bench = useInterop();

function addVm(): LabVm {
  const vm = bench.addVm('web01', [{ name: 'sys', sizeBytes: 32 * MIB + 4096 }]);
  bench.image(vm, 'sys').write(MIB, noise(1, DATA_BYTES));
  return vm;
}

function repositoryFiles(): string[] {
  const files = readdirSync(path.join(bench.folder, 'repository'), { recursive: true }).map(String);
  return files.filter((file) => /\.(vbk|vib)$/.test(file)).sort();
}

/** Backs up the VM. The point must equal the frozen views. */
async function expectGoodSession(vm: LabVm, scenario: string): Promise<void> {
  const report = await bench.backup(vm);
  bench.served(scenario);
  await bench.expectRestored(vm, report);
}

const LIES: readonly (readonly [string, Lie])[] = [
  ['a gap', (extents) => extents.filter((_extent, at) => at !== 1)],
  [
    'an overlap',
    (extents) => extents.map((extent, at) => (at === 1 ? { ...extent, start: 0 } : extent)),
  ],
  [
    'a length of 0',
    (extents) => extents.map((extent, at) => (at === 1 ? { ...extent, length: 0 } : extent)),
  ],
  ['an end beyond the disk', (extents) => [...extents, nextTo(extents)]],
];

function nextTo(extents: readonly WireExtent[]): WireExtent {
  const last = extents.at(-1);
  const start = Number(last?.['start']) + Number(last?.['length']);
  return { ...last, start, length: 64 * KIB };
}

describe('wrong extents', () => {
  let proxy: LyingProxy | undefined;

  afterEach(async () => {
    await proxy?.close();
    proxy = undefined;
  });

  it.each(LIES)('%s fails the increment, and the chain stays as it was', async (name, lie) => {
    const vm = addVm();
    const full = await bench.backup(vm);
    bench.image(vm, 'sys').write(2 * MIB, noise(2, 100 * KIB));
    const before = repositoryFiles();
    proxy = await LyingProxy.start(bench.imageio.authority, bench.imageio.front.origin, lie);
    bench.imageio.directOrigin = proxy.origin;

    await expectCode(bench.backup(vm), 'TRANSFER_BAD_EXTENTS');

    expect(repositoryFiles()).toEqual(before);
    bench.served(`extents with ${name}: refused`);
    await bench.expectRestored(vm, full);
    bench.imageio.directOrigin = bench.imageio.front.origin;
    await expectGoodSession(vm, `extents with ${name}: next session`);
  });

  it('a storage server whose export is shorter than the disk fails the session', async () => {
    const vm = addVm();
    const full = await bench.backup(vm);
    const before = repositoryFiles();
    bench.imageio.hiddenTailBytes = 64 * KIB;

    await expectCode(bench.backup(vm), 'TRANSFER_BAD_EXTENTS');

    expect(repositoryFiles()).toEqual(before);
    bench.served('export shorter than the disk: refused');
    await bench.expectRestored(vm, full);
    bench.imageio.hiddenTailBytes = 0;
    await expectGoodSession(vm, 'export shorter than the disk: next session');
  });
});

/**
 * Cuts all connections after each of these counts of bytes.
 * @returns a function for the number of cuts so far
 */
function cutAfter(...countsOfBytes: readonly number[]): () => number {
  const { front } = bench.imageio;
  let cuts = 0;
  for (const count of countsOfBytes) {
    front.afterBytes(count, () => {
      cuts++;
      front.cut();
    });
  }
  return () => cuts;
}

describe('TLS connections that are cut', () => {
  it('in the middle of reads cost nothing but the repeated ranges', async () => {
    const vm = addVm();
    const cuts = cutAfter(3 * MIB, 9 * MIB, 15 * MIB);

    await expectGoodSession(vm, 'connections cut in mid-read');

    expect(cuts()).toBe(3);
  });

  it('in the middle of an upload cost nothing but the repeated ranges', async () => {
    const vm = addVm();
    const full = await bench.backup(vm);
    bench.served('connections cut in mid-upload: backup before');
    const cuts = cutAfter(5 * MIB);

    const { newVmId } = await bench.restore(vm);

    bench.served('connections cut in mid-upload');
    expect(cuts()).toBe(1);
    expectUploaded(vm, newVmId, bench.frozen(vm, full, 'sys').referencePath);
  });
});

function expectUploaded(vm: LabVm, newVmId: string, referencePath: string): void {
  const [disk] = bench.lab.vm(newVmId).disks;
  const { image } = bench.image(bench.lab.vm(newVmId), disk?.id ?? '');
  expectIdentical(image, referencePath);
  expect(newVmId).not.toBe(vm.id);
}

/**
 * Kills the daemon in the middle of the next transfer, and starts it again.
 * @returns a function that waits for the start
 */
function killAndRestart(): () => Promise<void> {
  const { daemon, front } = bench.imageio;
  let back: Promise<void> | undefined;
  front.afterBytes(8 * MIB, () => {
    back = daemon.stop('SIGKILL').then(() => daemon.start());
  });
  return async () => {
    expect(back).toBeDefined();
    await back;
  };
}

describe('a daemon that is killed', () => {
  it('in the middle of a backup and comes back: the transfer is made anew', async () => {
    const vm = addVm();
    const waitForStart = killAndRestart();

    await expectGoodSession(vm, 'daemon killed and started again');

    await waitForStart();
    expect(bench.messages.map(({ code }) => code)).toContain('XFER-305');
  });

  it('in the middle of an increment and stays away: nothing is committed, the next session is right', async () => {
    const vm = addVm();
    const full = await bench.backup(vm);
    bench.image(vm, 'sys').write(0, noise(3, 20 * MIB));
    const before = repositoryFiles();
    bench.imageio.front.afterBytes(8 * MIB, () => void bench.imageio.daemon.stop('SIGKILL'));

    const failure = await failureOf(bench.backup(vm));

    expect(repositoryFiles()).toEqual(before);
    await bench.imageio.daemon.start();
    bench.served('daemon killed for good: refused');
    bench.tell('daemon killed for good', `session failed with ${failure.code}`);
    await bench.expectRestored(vm, full);
    await expectGoodSession(vm, 'daemon killed for good: next session');
  });

  it('in the middle of an upload and comes back: the upload is resumed', async () => {
    const vm = addVm();
    const full = await bench.backup(vm);
    bench.served('daemon killed in mid-upload: backup before');
    const waitForStart = killAndRestart();

    const { newVmId } = await bench.restore(vm);

    await waitForStart();
    bench.served('daemon killed in mid-upload');
    expect(bench.messages.map(({ code }) => code)).toContain('XFER-302');
    expectUploaded(vm, newVmId, bench.frozen(vm, full, 'sys').referencePath);
  });
});
