/**
 * A cancel at every eighth request of a session or a restore, one per execution; at every request
 * in the long form (`npm run sweep`). The work ends as cancelled. Nothing of it is left on the
 * engine or in the repository. The point and the checkpoint before it are unchanged.
 */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { toFailure } from '../../src/core/errors.ts';
import type { LabAction } from '../../lab/src/index.ts';
import { listRepository } from '../../src/sessions/inspect/listRepository.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { expectCode } from '../helpers/codes.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { longOr } from '../helpers/longForm.ts';
import { isReport, vmFoldersOf } from '../helpers/repository/repositoryFiles.ts';
import { VM_KINDS, type VmKind, VmScene } from '../helpers/lab/vmScene.ts';

const bench = useLab();
const MAX_REQUESTS = 200;
const STRIDE = longOr(1, 8);
const LIMIT_MS = 240_000;
/** Requests before the point is committed: at least this many cancels must take effect. */
const MIN_CANCELLED = 30 / STRIDE;

/**
 * Executes `work` once for each of these requests and cancels it there. Stops when a request is not
 * reached.
 */
async function cancelEverywhere(
  action: LabAction,
  work: (signal: AbortSignal) => Promise<unknown>,
  expectUntouched: (title: string) => Promise<void>,
): Promise<number> {
  const { faults } = bench.lab;
  let cancelled = 0;
  for (let nth = 1; nth < MAX_REQUESTS; nth += STRIDE) {
    const controller = new AbortController();
    const run = (): void => controller.abort();
    const fault = faults.add({ nth }, { ...action, run });
    const failure = await work(controller.signal).then(
      () => undefined,
      (error: unknown) => toFailure(error),
    );
    faults.remove(fault);
    // The work was done before the request, or its last steps may fail without an error.
    if (!failure) return cancelled;
    expect(failure.code, `request ${nth}: ${failure.message}`).toBe('CANCELLED');
    cancelled++;
    await expectUntouched(`request ${nth}`);
  }
  throw new Error(`the work has more than ${MAX_REQUESTS} requests`);
}

/** Files in the only VM folder that do not belong to its chain. */
function strayFiles(): string[] {
  const [folder = ''] = vmFoldersOf(bench.repository);
  return readdirSync(folder).filter((name) => !/\.(vbk|vib|vbm)$/.test(name) && !isReport(name));
}

const CUT: LabAction = { cutAfterBytes: 0 };
const [HYBRID] = VM_KINDS as [VmKind];

describe('a session that is cancelled at each of its requests in turn', () => {
  it.each([
    ...VM_KINDS.map((kind) => ({ ...kind, how: 'answered', action: {} })),
    { ...HYBRID, how: 'done but not answered', action: CUT },
  ])(
    'leaves nothing of a $kind backup when the request is $how',
    async ({ action, ...kind }) => {
      const scene = new VmScene(bench, kind, [{}, { format: 'raw' }]);
      const base = await scene.session();
      scene.edit();
      const work = (signal: AbortSignal): Promise<unknown> =>
        bench.backup(scene.vm, { signal, blockSizeBytes: BLOCK_BYTES });

      const cancelled = await cancelEverywhere(action, work, async (title) => {
        expect(bench.lab.leftovers(), title).toEqual([]);
        expect(scene.vm.checkpointIds(), title).toEqual([base.engine?.toCheckpointId]);
        expect(strayFiles(), title).toEqual([]);
        const { vms } = await listRepository({ repository: bench.repository });
        const points = vms[0]?.points.map(({ pointId }) => pointId);
        expect(points, title).toEqual([base.pointId]);
      });

      expect(cancelled).toBeGreaterThan(MIN_CANCELLED);
      const next = await scene.session();
      expect(next.disks[0]?.mode).toBe('incremental');
      await scene.expectEveryPoint();
    },
    LIMIT_MS,
  );

  it('says what it still waits for', async () => {
    const scene = new VmScene(bench, HYBRID);
    const controller = new AbortController();
    const heard: string[] = [];
    const path = /\/images\/[^/]+$/;
    const run = (): void => controller.abort();
    bench.lab.faults.add({ server: 'imageio', method: 'GET', path, nth: 1 }, { run });

    const { signal } = controller;
    const onStatus = (text: string): unknown => signal.aborted && heard.push(text);
    await expectCode(bench.backup(scene.vm, { signal, onStatus }), 'CANCELLED');

    expect(heard.join('; ')).toMatch(/transfer.*backup of web01/);
  });
});

describe('a restore that is cancelled at each of its requests in turn', () => {
  it.each([
    ['answered', {}],
    ['done but not answered', CUT],
  ])(
    'leaves nothing on the engine when the request is %s',
    async (_how, action) => {
      const scene = new VmScene(bench, HYBRID, [{}, { format: 'raw' }]);
      await scene.session();
      const work = (signal: AbortSignal): Promise<unknown> => bench.restore(scene.vm, { signal });
      const ids = scene.vm.disks.map(({ id }) => id.slice(0, 8));
      const names = ids.map((id, k) => `web01-restored_disk${k}_${id}`);

      const cancelled = await cancelEverywhere(action, work, async (title) => {
        expect(bench.lab.leftovers(), title).toEqual([]);
        const vms = bench.lab.vms.map(({ name }) => name);
        expect(vms, title).toEqual(['web01']);
        const disks = names.filter((name) => bench.lab.hasDisk(name));
        expect(disks, title).toEqual([]);
        expect(strayFiles(), title).toEqual([]);
      });

      expect(cancelled).toBeGreaterThan(MIN_CANCELLED);
    },
    LIMIT_MS,
  );
});
