/**
 * Sessions and restores that are killed without a warning. The next session or `cleanup` cleans up
 * on the engine. A committed point holds what the engine froze.
 */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { LabMatch } from '../../lab/src/index.ts';
import { cleanupVm } from '../../src/sessions/cleanup/cleanupVm.ts';
import { listRepository } from '../../src/sessions/inspect/listRepository.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { LAB_TIMINGS } from '../helpers/lab/plainLab.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { inTurn } from '../helpers/longForm.ts';
import { createRandom } from '../helpers/bytes/random.ts';
import { isReport, vmFoldersOf } from '../helpers/repository/repositoryFiles.ts';
import { killAt, type KillResult, type VmWork } from '../helpers/faults/killedVmWork.ts';
import { messageCodes } from '../helpers/codes.ts';
import { VM_KINDS, type VmKind, VmScene } from '../helpers/lab/vmScene.ts';

const bench = useLab();
const SEED = 20_261_122;
const [HYBRID, LIVE, COLD] = VM_KINDS as [VmKind, VmKind, VmKind];
const LIMIT_MS = 120_000;

const BACKUP = /\/backups\/[^/]+$/;
const TRANSFER = /\/imagetransfers\/[^/]+$/;
const IMAGE = /\/images\/[^/?]+$/;

interface Moment {
  readonly title: string;
  readonly match: LabMatch;
  /** True when the engine certainly holds something of the session then. */
  readonly isOpen: boolean;
  /** True when the point is in the repository then. */
  readonly isPublished?: boolean;
}

const MOMENTS: readonly Moment[] = [
  { title: 'before its backup', match: { path: /\/disksnapshots/ }, isOpen: false },
  { title: 'with its backup', match: { method: 'POST', path: /\/backups$/ }, isOpen: true },
  { title: 'after its backup', match: { method: 'GET', path: BACKUP }, isOpen: true },
  { title: 'when its view is ready', match: { path: BACKUP, phase: 'ready' }, isOpen: true },
  {
    title: 'with its transfer',
    match: { method: 'POST', path: /\/imagetransfers$/ },
    isOpen: true,
  },
  { title: 'after its transfer', match: { method: 'GET', path: TRANSFER }, isOpen: true },
  { title: 'with its ticket', match: { method: 'OPTIONS' }, isOpen: true },
  { title: 'with its extents', match: { path: /\/extents/ }, isOpen: true },
  { title: 'with its first read', match: { method: 'GET', path: IMAGE }, isOpen: true },
  { title: 'with its third read', match: { method: 'GET', path: IMAGE, nth: 3 }, isOpen: true },
  {
    title: 'with the end of a transfer',
    match: { method: 'POST', path: /\/imagetransfers\/[^/]+\/finalize/ },
    isOpen: true,
  },
  {
    title: 'with the end of its backup',
    match: { method: 'POST', path: /\/backups\/[^/]+\/finalize/ },
    isOpen: false,
  },
  { title: 'while its backup ends', match: { path: BACKUP, phase: 'finalizing' }, isOpen: false },
  {
    title: 'before it is published',
    match: { path: /\/checkpoints\?follow=/, nth: 2 },
    isOpen: false,
  },
  {
    title: 'after it was published',
    match: { method: 'DELETE', path: /\/checkpoints\// },
    isOpen: false,
    isPublished: true,
  },
  {
    title: 'after all',
    match: { method: 'POST', path: /\/events$/ },
    isOpen: false,
    isPublished: true,
  },
];

function backupOf(scene: VmScene): VmWork {
  const options = {
    engine: bench.settings({ ...LAB_TIMINGS }),
    vms: [scene.vm.id],
    repository: bench.repository,
    workers: 0,
  };
  return { action: 'backupVms', options };
}

async function pointCount(scene: VmScene): Promise<number> {
  const { vms } = await listRepository({ repository: bench.repository, vm: scene.vm.id });
  return vms[0]?.points.length ?? 0;
}

/** Names in the only VM folder that do not belong to its chain. */
function strayFiles(): string[] {
  const [folder = ''] = vmFoldersOf(bench.repository);
  return readdirSync(folder).filter((name) => !/\.(vbk|vib|vbm)$/.test(name) && !isReport(name));
}

/** The session after a kill: it succeeds, and nothing of the killed one is left. */
async function expectRecovered(scene: VmScene, killed: KillResult): Promise<void> {
  const report = await scene.session();

  const title = `${killed.leftovers.join(', ')}; ${killed.output}`;
  expect(bench.lab.leftovers(), title).toEqual([]);
  expect(strayFiles(), title).toEqual([]);
  scene.expectOneCheckpoint();
  expect(report.pointType, title).toBe('increment');
}

describe('a session that is killed', () => {
  it.each(inTurn(MOMENTS))(
    '$title is cleaned up after by the next one',
    async ({ match, isOpen, isPublished = false }) => {
      const scene = new VmScene(bench, HYBRID, [{}, { format: 'raw' }]);
      await scene.session();
      scene.edit();

      const killed = await killAt(bench, match, backupOf(scene));

      expect(killed.wasKilled, killed.output).toBe(true);
      expect(await pointCount(scene)).toBe(isPublished ? 2 : 1);
      await expectRecovered(scene, killed);
      const { messages = [] } = scene.reports.at(-1) ?? {};
      const wasOpen = messages.some(({ code }) => code === 'JOB-606');
      if (isOpen) expect(wasOpen).toBe(true);
      if (isPublished) expect(wasOpen).toBe(false);
      expect(await pointCount(scene)).toBe(isPublished ? 3 : 2);
      await scene.expectEveryPoint();
    },
  );

  it.each([HYBRID, LIVE, COLD])(
    'at any of its requests is cleaned up after, for $kind backups',
    async (kind) => {
      const scene = new VmScene(bench, kind, [{}, { format: 'raw' }]);
      const random = createRandom(SEED);
      await scene.session();

      for (let k = 0; k < 3; k++) {
        scene.edit();
        const nth = 1 + random.below(46);
        const killed = await killAt(bench, { nth }, backupOf(scene));
        await expectRecovered(scene, killed);
      }

      await scene.expectEveryPoint();
    },
    LIMIT_MS,
  );

  it('before its first point leaves a VM whose next session is a full', async () => {
    const scene = new VmScene(bench, HYBRID);

    await killAt(bench, { method: 'GET', path: IMAGE }, backupOf(scene));

    const report = await scene.session({ blockSizeBytes: BLOCK_BYTES });
    expect(report).toMatchObject({ pointType: 'full', pointNumber: 1 });
    expect(messageCodes(report)).toContain('JOB-606');
    expect(bench.lab.leftovers()).toEqual([]);
    await scene.expectContinued({ disk0: 'incremental' });
  });

  it('is cleaned up after by the command as well, which leaves the base as it was', async () => {
    const scene = new VmScene(bench, HYBRID);
    const base = await scene.session();
    await killAt(bench, { method: 'GET', path: IMAGE }, backupOf(scene));
    const { repository } = bench;

    const report = await cleanupVm({ engine: bench.settings(), repository, vm: scene.vm.id });

    expect(report.cleaned.length).toBeGreaterThan(0);
    expect(report.left).toEqual([]);
    expect(bench.lab.leftovers()).toEqual([]);
    expect(strayFiles()).toEqual([]);
    expect(scene.vm.checkpointIds()).toEqual([base.engine?.toCheckpointId]);
    await scene.expectContinued({ disk0: 'incremental' });
  });
});

const RESTORE_MOMENTS: readonly (readonly [string, LabMatch])[] = [
  ['with its first disk', { method: 'POST', path: /\/disks$/ }],
  ['with its transfer', { method: 'POST', path: /\/imagetransfers$/ }],
  ['after its transfer', { method: 'GET', path: TRANSFER }],
  ['with its first write', { method: 'PUT' }],
  ['with the end of a transfer', { method: 'POST', path: /\/finalize/ }],
  ['with its VM', { method: 'POST', path: /\/vms$/ }],
  ['with its second attachment', { method: 'POST', path: /\/diskattachments$/, nth: 2 }],
];

describe('a restore that is killed', () => {
  it.each(inTurn(RESTORE_MOMENTS))('%s is undone by the command', async (_title, match) => {
    const scene = new VmScene(bench, HYBRID, [{}, { format: 'raw' }]);
    await scene.session();
    const { repository } = bench;
    const engine = bench.settings();
    const options = {
      engine,
      repository,
      vm: scene.vm.id,
      asVm: 'restored',
      storageDomain: 'data',
      cluster: 'Default',
      workers: 0,
    };

    const killed = await killAt(bench, match, { action: 'restoreVm', options });
    const report = await cleanupVm({ engine, repository, vm: scene.vm.id });

    expect(killed.wasKilled, killed.output).toBe(true);
    expect(report.left).toEqual([]);
    expect(bench.lab.vms.map(({ name }) => name)).toEqual(['web01']);
    const names = scene.vm.disks.map(({ name, id }) => `restored_${name}_${id.slice(0, 8)}`);
    expect(names.filter((name) => bench.lab.hasDisk(name))).toEqual([]);
    expect(bench.lab.leftovers()).toEqual([]);
    expect(strayFiles()).toEqual([]);
    await bench.restore(scene.vm, { asVm: 'restored' });
  });
});
