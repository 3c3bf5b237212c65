/**
 * Late, wrong or repeated answers: a session asks again, and records the things it could not end.
 */
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { LabVm } from '../../lab/src/index.ts';
import { EngineApi } from '../../src/ovirt/engine/engineApi.ts';
import { backupVms } from '../../src/sessions/backup/backupVms.ts';
import { EngineClient, waitUntil } from '../helpers/lab/engineClient.ts';
import {
  addSmallVm,
  calls,
  expectFrozenView,
  gateway,
  PATHS,
  refusal,
  statuses,
} from '../helpers/faults/sessionFaults.ts';
import { messageCodes, expectCode } from '../helpers/codes.ts';
import { diskRefs } from '../helpers/lab/engineFlows.ts';
import { backupSteps } from '../helpers/faults/killedVmWork.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const bench = useLab();
const PAGE_404 = {
  status: 404,
  body: '<html><head><title>404 - Not Found</title></head></html>',
  headers: { 'content-type': 'text/html' },
};

/**
 * Makes the recorded backup, as an engine does that finishes a request after the gateway gave up.
 *
 * @returns the id of the backup.
 */
async function startAsked(client: EngineClient, vm: LabVm): Promise<string> {
  const steps = await backupSteps(bench);
  const asked = steps.findLast((entry) => entry.step === 'backup-starting');
  const { id } = await client.post(`/vms/${vm.id}/backups`, {
    description: asked?.description,
    disks: diskRefs(vm),
  });
  return id as string;
}

describe.each([
  ['of a backup', PATHS.finalizeBackup],
  ['of a transfer', PATHS.finalizeTransfer],
])('the end %s', (_what, path) => {
  it.each([
    ['500', refusal(500, 'General command validation failure.')],
    ['a lock', refusal(409, 'Related operation is currently in progress. Please try again later.')],
  ])('that is answered by %s once is asked for again', async (_answer, action) => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    lab.faults.add({ method: 'POST', path, nth: 1 }, action);

    const report = await bench.backup(vm);

    expect(statuses(lab, 'POST', path)).toEqual([action.status, 200]);
    expect(messageCodes(bench)).toEqual([]);
    await expectFrozenView(bench, vm, report);
  });
});

describe('a backup that appears only after its request was given up', () => {
  it('is adopted while it is waited for', async () => {
    const { lab } = bench;
    await using late = await EngineClient.login(lab);
    const vm = addSmallVm(lab);
    let backupId = '';
    const appears = (): void => {
      const start = { run: async () => void (backupId = await startAsked(late, vm)) };
      lab.faults.add({ method: 'GET', path: PATHS.backups, nth: 2 }, start);
    };
    const lost = { ...gateway(504), run: appears };
    lab.faults.add({ method: 'POST', path: PATHS.backups, nth: 1 }, lost);

    const report = await bench.backup(vm, { engine: bench.settings({ lostAnswerMs: 10_000 }) });

    expect(report.engine?.backupId).toBe(backupId);
    await expectFrozenView(bench, vm, report);
  });

  it('is ended by the next session, which knows it from the journal', async () => {
    const { lab } = bench;
    await using late = await EngineClient.login(lab);
    const vm = addSmallVm(lab);
    lab.faults.add({ method: 'POST', path: PATHS.backups, nth: 1 }, gateway(504));
    const engine = bench.settings({ lostAnswerMs: 10 });
    await expectCode(bench.backup(vm, { engine }), 'ENGINE_UNREACHABLE');
    await startAsked(late, vm);

    const report = await bench.backup(vm);

    expect(messageCodes(bench)).toEqual(['JOB-606']);
    expect(await backupSteps(bench)).toEqual([]);
    await expectFrozenView(bench, vm, report);
  });
});

describe('a page that says 404 instead of the engine', () => {
  it('does not mean that a backup is gone', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    lab.faults.add({ method: 'GET', path: PATHS.backup, nth: 2 }, PAGE_404);

    const report = await bench.backup(vm);

    expect(statuses(lab, 'GET', PATHS.backup)[1]).toBe(404);
    expect(calls(lab, 'POST', PATHS.backups)).toHaveLength(1);
    await expectFrozenView(bench, vm, report);
  });
});

describe('a renewal of the token', () => {
  it('survives the abort of the request that began it', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    await using engine = await EngineApi.connect(bench.settings());
    const owner = new AbortController();
    const gate = new AbortController();
    const opened = once(gate.signal, 'abort');
    lab.expireTokens();
    const token = lab.faults.add({ path: PATHS.token }, { run: async () => void (await opened) });
    const first = engine.transfer('t1', owner.signal).catch((error: unknown) => error);
    await waitUntil('renewal', async () => lab.faults.fired(token) || undefined);
    const second = engine.vm(vm.id);

    owner.abort(new Error('the transfer is over'));
    await first;
    gate.abort();

    expect((await second)?.name).toBe('web01');
    expect(lab.faults.fired(token)).toBe(1);
  });
});

describe('a job that is stopped', () => {
  it('reports the VMs that were committed before', async () => {
    const { lab } = bench;
    const [one, two] = [addSmallVm(lab), addSmallVm(lab, { name: 'web02' })];
    const stop = new AbortController();
    const diskId = two.disk('sys').id;
    const hang = lab.faults.add({ server: 'imageio', method: 'GET', diskId }, { hang: true });
    const posted = (): true | undefined =>
      calls(lab, 'POST', /\/events$/).length > 0 && lab.faults.fired(hang) > 0 ? true : undefined;

    const job = startJob([one, two], stop.signal);
    await waitUntil('commit of the first', async () => posted());
    stop.abort();

    const { sessions, failures } = await job;
    expect(sessions.map(({ vmName }) => vmName)).toEqual(['web01']);
    expect(failures).toMatchObject([{ code: 'CANCELLED' }]);
  });

  it.each([0, 9])('is not begun with %d connections', async (connections) => {
    const vm = addSmallVm(bench.lab);

    await expectCode(bench.backup(vm, { connections }), 'USAGE_INVALID_OPTION');
  });
});

function startJob(vms: readonly LabVm[], signal: AbortSignal): ReturnType<typeof backupVms> {
  const engine = bench.settings();
  const { repository } = bench;
  const ids = vms.map(({ id }) => id);
  return backupVms({ engine, vms: ids, repository, parallelVms: 2, workers: 0, signal });
}
