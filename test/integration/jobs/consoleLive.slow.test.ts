/** The console of a daemon over a lab: what it shows, what it does, what it refuses. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { LabVm } from '../../../lab/src/index.ts';
import type {
  Chain,
  DiskMap,
  PointName,
  RepositoryRow,
  RunRow,
  TaskRow,
  VmRow,
} from '../../../src/console/contract.ts';
import { BLOCK_BYTES, sha256OfFile } from '../../helpers/bytes/images.ts';
import { useLiveConsole } from '../../helpers/console/liveBench.ts';

const execute = promisify(execFile);
const daemon = useLiveConsole();

async function rows(): Promise<readonly VmRow[]> {
  return (await daemon.client.get('/vms')) as VmRow[];
}

async function health(): Promise<string[]> {
  return (await rows()).map((row) => `${row.vmName} ${row.health}`);
}

async function chainOf({ id }: LabVm): Promise<Chain> {
  return (await daemon.client.get(`/jobs/nightly/vms/${id}/chain`)) as Chain;
}

/** Runs the job now, and waits for its end. */
async function runJob(only?: readonly string[]): Promise<string> {
  const watch = await daemon.client.watch();
  const runId = await daemon.client.startRun('nightly', only);
  await watch.until('job', ({ job }) => job.runId === undefined);
  await watch.close();
  return runId;
}

async function lastPoint(vm: LabVm): Promise<PointName> {
  const point = (await chainOf(vm)).points.at(-1);
  return { jobName: 'nightly', vmKey: vm.id, pointId: point?.pointId ?? '' };
}

/** A VM with a point, and the name of that point. */
async function backedUp(name = 'web'): Promise<readonly [LabVm, PointName]> {
  const vm = daemon.addVm(name);
  await daemon.start();
  await runJob();
  return [vm, await lastPoint(vm)];
}

describe('a run that is started by hand', () => {
  it('backs up the VMs that are named; its sessions, rows, maps and page are shown', async () => {
    const vm = daemon.addVm('a');
    daemon.addVm('b');
    await daemon.start();
    expect(await rows()).toEqual([]);
    const watch = await daemon.client.watch();
    const runId = await daemon.client.startRun('nightly', [vm.id]);
    const { job } = await watch.until('job', (event) => event.job.runId === runId);
    const { session: ended } = await watch.until('session', (event) => {
      return event.session.result === 'done';
    });
    const { vm: row } = await watch.until('vm', (event) => event.vm.health === 'good');
    await watch.until('job', (event) => event.job.runId === undefined);
    await watch.close();

    expect(job).toMatchObject({ name: 'nightly', engineName: 'lab', repositoryName: 'main' });
    expect(ended).toMatchObject({ vmId: vm.id, vmName: 'a', jobName: 'nightly', runId });
    expect(ended.disks).toMatchObject([{ alias: 'a_sys', mode: 'full', result: 'done' }]);
    const phases = watch.events.flatMap((event) => {
      return event.type === 'session' ? [event.session.phase] : [];
    });
    expect([...new Set(phases)]).toEqual(
      expect.arrayContaining(['preparing', 'reading', 'finalizing', 'committing']),
    );
    expect(row).toMatchObject({ vmKey: vm.id, vmName: 'a', lastPointType: 'full' });
    expect(await health()).toEqual(['a good']);
    expect(daemon.live.sessions()).toEqual([]);

    const [point] = (await chainOf(vm)).points;
    expect(point).toMatchObject({ number: 1, type: 'full', hasMap: true });
    const maps = (await daemon.client.get(
      `/jobs/nightly/vms/${vm.id}/points/${point?.pointId}/map`,
    )) as DiskMap[];
    expect(maps).toMatchObject([{ alias: 'a_sys', cellBytes: BLOCK_BYTES, cells: '9900' }]);
    const runs = (await daemon.client.get('/runs?job=nightly&most=10')) as RunRow[];
    expect(runs).toMatchObject([{ runId, outcome: 'success', vmCount: 1, failedVmCount: 0 }]);
    expect(runs[0]?.readBytes).toBe(2 * BLOCK_BYTES);
    const page = await daemon.client.send('GET', `/runs/${runId}/page`);
    expect(page.text).toContain('a user of the console');
    const [repository] = (await daemon.client.get('/repositories')) as RepositoryRow[];
    expect(repository).toMatchObject({ name: 'main', vmCount: 1, pointCount: 1 });
    expect(repository?.problem).toBeUndefined();
    expect(repository?.growth).toMatchObject([{ storedBytes: repository?.storedBytes }]);
  });

  it('is stopped: VMs are free, the report says so, and the job may run again', async () => {
    const [a, b] = [daemon.addVm('a'), daemon.addVm('b')];
    await daemon.start();
    const diskId = b.disks[0]?.id;
    daemon.bench.lab.faults.add({ server: 'imageio', method: 'GET', diskId }, { hang: true });
    const watch = await daemon.client.watch();
    const runId = await daemon.client.startRun('nightly');
    const busy = await daemon.client.send('POST', '/jobs/nightly/runs');
    expect([busy.status, busy.json.error.code]).toEqual([409, 'JOB_RUNNING']);
    await watch.until('session', ({ session }) => {
      return session.vmId === b.id && session.phase === 'reading';
    });
    expect(daemon.live.sessions()).toHaveLength(1);
    // The first VM of the run has its result already.
    expect(await health()).toEqual(['a good']);
    await daemon.client.send('DELETE', `/runs/${runId}`);
    const { message } = await watch.until('message', (event) => event.message.code === 'JOB-641');
    await watch.until('job', ({ job }) => job.runId === undefined);
    await watch.close();

    expect(message.text).toContain(runId);
    expect(await health()).toEqual(['a good', 'b failed']);
    const runs = (await daemon.client.get('/runs')) as RunRow[];
    expect(runs).toMatchObject([{ runId, outcome: 'failure', vmCount: 2, failedVmCount: 1 }]);
    expect((await daemon.client.send('DELETE', `/runs/${runId}`)).status).toBe(404);
    daemon.bench.lab.faults.clear();
    await runJob(['b']);
    expect(await health()).toEqual(['a good', 'b good']);
    expect((await chainOf(a)).points).toHaveLength(1);
  });

  it('with a name that fits no VM is told by a message', async () => {
    daemon.addVm('a');
    await daemon.start();
    const watch = await daemon.client.watch();
    await daemon.client.startRun('nightly', ['nobody']);
    const { message, jobName } = await watch.until('message');
    await watch.until('job', ({ job }) => job.runId === undefined);
    await watch.close();

    expect([message.code, jobName]).toEqual(['JOB-638', 'nightly']);
    expect(message.text).toContain('"nobody" fits no VM');
    expect(await daemon.client.get('/runs')).toEqual([]);
  });
});

describe('a restore to files', () => {
  it('makes a folder of its own for each task, and the bytes are those of the disk', async () => {
    const [vm, point] = await backedUp('../../web');
    const disk = vm.disks[0];
    const request = { type: 'restoreFiles', diskIds: [disk?.id ?? ''], ...point } as const;
    const tasks = [await daemon.client.doTask(request), await daemon.client.doTask(request)];

    const files = tasks.flatMap(({ results }) => results);
    expect(tasks.map(({ state }) => state)).toEqual(['done', 'done']);
    const folders = files.map((file) => path.dirname(file));
    expect(new Set(folders).size).toBe(2);
    for (const [k, file] of files.entries()) {
      expect(path.dirname(folders[k] ?? '')).toBe(daemon.restores());
      expect(path.basename(folders[k] ?? '')).toMatch(/^\d{4}-\d\d-\d\dT\d{6}-__.?_?.*web(-2)?$/);
      expect(sha256OfFile(file)).toBe(vm.disk('../../web_sys').digest());
      expect([statSync(file).mode & 0o777, statSync(folders[k] ?? '').mode & 0o777]).toEqual([
        0o600, 0o700,
      ]);
    }
  });

  it('of an unknown disk, point, VM or job is refused', async () => {
    const [, point] = await backedUp();
    const request = { type: 'restoreFiles', diskIds: ['x'], ...point } as const;
    const wrong = [
      request,
      { ...request, pointId: '../../main' },
      { ...request, vmKey: '../..' },
      { ...request, jobName: 'weekly' },
    ];

    for (const one of wrong) {
      const { status, json } = await daemon.client.send('POST', '/tasks', one);
      expect([status, json.error.code]).toEqual([404, 'USAGE_NOT_FOUND']);
    }
    expect(readdirSync(daemon.restores())).toEqual([]);
  });
});

describe('verify', () => {
  it('of the latest point tells damage, also in the row of the VM', async () => {
    const [vm, point] = await backedUp();
    const request = { type: 'verify', ...point } as const;
    const good = await daemon.client.doTask(request);

    expect(good).toMatchObject({ state: 'done', results: ['1 file checked, no damage'] });
    const folder = daemon.temp.path('repository');
    const [name = ''] = readdirSync(folder).filter((entry) => entry.includes(vm.id));
    const { fileName } = (await chainOf(vm)).points[0] ?? { fileName: '' };
    const file = path.join(folder, name, fileName);
    const bytes = readFileSync(file);
    bytes.fill(0xaa, bytes.length / 2, bytes.length / 2 + 4096);
    writeFileSync(file, bytes);
    const watch = await daemon.client.watch();
    const bad = await daemon.client.doTask(request);
    await watch.until('vm', (event) => event.vm.health === 'damaged');
    await watch.close();

    expect(bad).toMatchObject({ state: 'failed', failure: { code: 'INTEGRITY_DAMAGE_FOUND' } });
    expect(await health()).toEqual(['web damaged']);
    expect((await chainOf(vm)).points).toMatchObject([{ isDamaged: true }]);
  });
});

describe('an export', () => {
  it('serves a disk until it is stopped, and holds a lease meanwhile', async () => {
    const [vm, point] = await backedUp();
    const watch = await daemon.client.watch();
    const diskId = vm.disks[0]?.id ?? '';
    const { taskId } = await daemon.client.startTask({ type: 'export', diskId, ...point });
    const { task } = await watch.until('task', (event) => event.task.results.length > 0);
    const [uri = ''] = task.results;
    const leases = (): string[] =>
      readdirSync(daemon.temp.path('repository'), { recursive: true })
        .map(String)
        .filter((name) => name.includes('lease'));

    expect(uri).toMatch(/^nbd:\/\/127\.0\.0\.1:\d+\//);
    const { stdout } = await execute('nbdinfo', ['--json', uri]);
    expect(JSON.parse(stdout)).toMatchObject({
      exports: [{ 'export-size': 1024 * 1024, is_read_only: true }],
    });
    const copy = daemon.temp.path('copy.raw');
    await execute('nbdcopy', [uri, copy]);
    expect(sha256OfFile(copy)).toBe(vm.disk('web_sys').digest());
    expect(leases()).toHaveLength(1);
    await daemon.client.send('DELETE', `/tasks/${taskId}`);
    await watch.until('task', (event) => event.task.state === 'stopped');
    await watch.close();
    expect(leases()).toEqual([]);
    await expect(execute('nbdinfo', [uri])).rejects.toThrow();
  });
});

describe('a restore to the engine', () => {
  it('makes a new VM with the bytes of the point', async () => {
    const [vm, point] = await backedUp();
    const request = { newName: 'web-again', storageDomain: 'data', cluster: 'Default' } as const;
    const task = await daemon.client.doTask({ type: 'restoreVm', ...request, ...point });

    expect(task.failure).toBeUndefined();
    expect(task).toMatchObject({ state: 'done' });
    expect(task.results[0]).toMatch(/^VM web-again \(/);
    const made = daemon.bench.lab.vms.find(({ name }) => name === 'web-again');
    expect(made?.disks[0]?.digest()).toBe(vm.disk('web_sys').digest());
  });

  it('is shown to a page that is loaded meanwhile, and is stopped in order', async () => {
    const [, point] = await backedUp();
    const { faults } = daemon.bench.lab;
    const hang = faults.add({ server: 'imageio', method: 'PUT' }, { hang: true });
    const request = { newName: 'web-again', storageDomain: 'data', cluster: 'Default' } as const;
    const { taskId } = await daemon.client.startTask({ type: 'restoreVm', ...request, ...point });
    const first = await daemon.client.watch();
    await first.until('session', ({ session }) => session.phase === 'uploading');
    await first.close();
    const second = await daemon.client.watch();
    const { session } = await second.until('session');
    const { task } = await second.until('task');

    expect(session).toMatchObject({ taskId, phase: 'uploading' });
    expect(task).toMatchObject({ taskId, state: 'running', sessionId: session.sessionId });
    expect(faults.fired(hang)).toBeGreaterThanOrEqual(0);
    await daemon.client.send('DELETE', `/tasks/${taskId}`);
    await second.until('task', (event) => event.task.state === 'stopped');
    await second.close();
    faults.clear();
    expect(daemon.bench.lab.vms.map(({ name }) => name)).toEqual(['web']);
  });
});

describe('a user who may only read', () => {
  it('sees everything, and starts nothing', async () => {
    const [vm, point] = await backedUp();
    const { reader } = daemon;
    for (const page of ['vms', 'jobs', 'runs', 'repositories', 'workers', 'sessions', 'tasks']) {
      expect(await reader.get(`/${page}`)).toBeInstanceOf(Array);
    }
    const answers = [
      await reader.send('POST', '/jobs/nightly/runs'),
      await reader.send('POST', '/tasks', { type: 'verify', ...point }),
      await reader.send('DELETE', '/runs/x'),
      await reader.send('DELETE', '/tasks/x'),
    ];

    expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 403]);
    expect(daemon.live.tasks()).toEqual([]);
    expect((await chainOf(vm)).points).toHaveLength(1);
  });
});

describe('names that lead elsewhere', () => {
  it('are not found', async () => {
    const [vm] = await backedUp();
    const urls = [
      '/jobs/nightly/vms/..%2F..%2Fetc/chain',
      `/jobs/..%2Fnightly/vms/${vm.id}/chain`,
      `/jobs/nightly/vms/${vm.id}/points/..%2F..%2Fpasswd/map`,
      '/runs/..%2F..%2Fetc%2Fpasswd/page',
      '/runs/00000000-0000-0000-0000-000000000000/page',
    ];

    for (const url of urls) expect((await daemon.client.send('GET', url)).status).toBe(404);
  });
});

describe('a stop of the daemon', () => {
  it('ends its tasks in order; rows and runs are there after its next start', async () => {
    const [vm, point] = await backedUp();
    const watch = await daemon.client.watch();
    const diskId = vm.disks[0]?.id ?? '';
    await daemon.client.startTask({ type: 'export', diskId, ...point });
    await watch.until('task', (event) => event.task.results.length > 0);
    const { live } = daemon;
    await watch.close();
    await daemon.stop();

    expect(live.tasks().map(({ state }: TaskRow) => state)).toEqual(['stopped']);
    await daemon.start();
    expect(daemon.live.tasks()).toEqual([]);
    expect(await health()).toEqual(['web good']);
    expect(await daemon.client.get('/runs')).toHaveLength(1);
  });
});
