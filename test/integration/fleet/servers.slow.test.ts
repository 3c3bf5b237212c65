/** The server of the queue: not there, refusing, restarted, emptied, and away for a while. */
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createLabAuthority } from '../../../lab/src/http/certificates.ts';
import { exitCodeOf, toFailure } from '../../../src/core/errors.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { type QueueSettings } from '../../../src/fleet/connection.ts';
import { openFleet } from '../../../src/fleet/planner/fleet.ts';
import { eventually, FAST, useFleet } from '../../helpers/fleet/fleetBench.ts';
import { holdReads } from '../../helpers/fleet/heldReads.ts';
import { RedisServer, useRedis } from '../../helpers/fleet/redisServer.ts';
import { freePort } from '../../helpers/s3/servers.ts';
import { outcomesOf } from '../../helpers/jobs/jobBench.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

type Failure = { readonly code: string; readonly exitCode: number };

/** The failure of a planner that connects; undefined when it succeeds. */
async function failureOf(settings: QueueSettings): Promise<Failure | undefined> {
  const error: unknown = await openFleet(settings, {
    signal: new AbortController().signal,
    logger: silentLogger,
    onMessage: () => {},
    timings: { ...FAST, connectMs: 2000 },
  }).then(
    async (fleet) => await fleet[Symbol.asyncDispose](),
    (thrown: unknown) => thrown,
  );
  return error === undefined
    ? undefined
    : { code: toFailure(error).code, exitCode: exitCodeOf(error) };
}

describe('the server', () => {
  const redis = useRedis({ password: 'sesame', config: ['maxmemory-policy allkeys-lru'] });
  const temp = useTempFolder();

  function passwordFile(password: string): string {
    writeFileSync(temp.path('queue'), `${password}\n`, { mode: 0o600 });
    return temp.path('queue');
  }

  it.each(['unix:///nowhere/socket', 'redis://127.0.0.1:1', 'redis://nowhere.invalid'])(
    'that is not there: %s',
    async (url) => {
      expect(await failureOf({ url })).toEqual({ code: 'QUEUE_UNREACHABLE', exitCode: 14 });
    },
  );

  it('refuses a wrong password, and none', async () => {
    const { url } = redis.server;
    const refused = { code: 'QUEUE_AUTH_REFUSED', exitCode: 12 };

    expect(await failureOf({ url, passwordFile: passwordFile('wrong') })).toEqual(refused);
    expect(await failureOf({ url })).toEqual(refused);
  });

  it('that may drop keys is told', async () => {
    const codes: string[] = [];
    const fleet = await openFleet(
      { url: redis.server.url, passwordFile: passwordFile('sesame') },
      {
        signal: new AbortController().signal,
        logger: silentLogger,
        onMessage: ({ code }) => codes.push(code),
        timings: FAST,
      },
    );
    await fleet[Symbol.asyncDispose]();

    expect(codes).toEqual(['FLT-956']);
  });
});

describe('a server with TLS', () => {
  const temp = useTempFolder();

  it('is trusted by its CA only', async () => {
    const authority = createLabAuthority();
    const { certPem, keyPem } = authority.issue();
    writeFileSync(temp.path('cert.pem'), certPem);
    writeFileSync(temp.path('key.pem'), keyPem);
    writeFileSync(temp.path('ca.pem'), authority.caPem);
    const port = await freePort();
    const server = new RedisServer(
      {
        config: [
          `tls-port ${port}`,
          `tls-cert-file ${temp.path('cert.pem')}`,
          `tls-key-file ${temp.path('key.pem')}`,
          `tls-ca-cert-file ${temp.path('ca.pem')}`,
          'tls-auth-clients no',
        ],
      },
      temp.make('data'),
    );
    await server.start();
    const url = `rediss://localhost:${port}`;
    const [trusted, untrusted] = [
      await failureOf({ url, caFile: temp.path('ca.pem') }),
      await failureOf({ url }),
    ];
    await server.close();

    expect(trusted).toBeUndefined();
    expect(untrusted).toEqual({ code: 'QUEUE_UNREACHABLE', exitCode: 14 });
  });

  it('is needed for a password over a network', async () => {
    writeFileSync(temp.path('queue'), 'sesame', { mode: 0o600 });
    const settings = { url: 'redis://10.0.0.1', passwordFile: temp.path('queue') };

    expect(await failureOf(settings)).toEqual({ code: 'USAGE_INVALID_OPTION', exitCode: 2 });
  });
});

describe.each([
  ['that keeps its data', ['appendonly yes', 'appendfsync always']],
  ['that is emptied', []],
])('a server %s', (_, config) => {
  const bench = useFleet({}, { config });
  const { jobs } = bench;

  it('restarts in the middle of a run', async () => {
    bench.writeJobs({ limits: { parallelVms: 3 } });
    const vms = jobs.addVms('a', 'b', 'c');
    const holds = vms.map((vm) => holdReads(jobs.bench.lab, vm, 1));
    await bench.startWorker({ parallelVms: 2 });
    const fleet = await bench.openFleet();
    const running = bench.run(fleet);
    await eventually(() => holds.filter(({ count }) => count > 0).length === 2);
    await bench.server.stop();
    await bench.server.start();
    for (const hold of holds) hold.release();
    const report = await running;

    expect(outcomesOf(report)).toEqual(['a success', 'b success', 'c success']);
    expect((await jobs.list()).map(({ points }) => points.length)).toEqual([1, 1, 1]);
    expect(jobs.bench.lab.leftovers()).toEqual([]);
  });

  it('is away while sessions end, and their results follow', async () => {
    const [vm] = jobs.addVms('web01');
    const held = holdReads(jobs.bench.lab, vm, 1);
    await bench.startWorker();
    const fleet = await bench.openFleet();
    const running = bench.run(fleet);
    await eventually(() => held.count > 0);
    await bench.server.stop();
    held.release();
    await eventually(async () => (await jobs.list()).some(({ points }) => points.length === 1));
    await eventually(() => jobs.codes().includes('FLT-954'));
    await expect(fleet.workers()).rejects.toMatchObject({ code: 'QUEUE_UNREACHABLE' });
    await bench.server.start();
    const report = await running;
    const workers = await fleet.workers();

    expect(workers).toHaveLength(1);
    expect(outcomesOf(report)).toEqual(['web01 success']);
    expect(jobs.codes()).toEqual(['FLT-954', 'FLT-955']);
    expect((await jobs.list()).map(({ points }) => points.length)).toEqual([1]);
  });
});

describe('a server that does not come back', () => {
  const bench = useFleet();

  it('stops neither the end of a run that is cancelled, nor that of a worker', async () => {
    const [vm] = bench.jobs.addVms('web01');
    const held = holdReads(bench.jobs.bench.lab, vm, 1);
    const worker = await bench.startWorker({ timings: { deliverMs: 300 } });
    const fleet = await bench.openFleet({ cancelMs: 500 });
    const stop = new AbortController();
    const running = bench.run(fleet, { signal: stop.signal });
    await eventually(() => held.count > 0);
    await bench.server.stop();
    stop.abort();
    const report = await running;

    expect(report.vms).toMatchObject([{ failure: { code: 'CANCELLED' } }]);
    expect(await worker.stop()).toBe(0);
    expect(bench.jobs.bench.lab.leftovers()).toEqual([]);
  });
});

describe('a server that takes no data', () => {
  const bench = useFleet();
  const { jobs } = bench;

  it('gets the result of a session later, and the session is not repeated', async () => {
    const [vm] = jobs.addVms('web01');
    const held = holdReads(jobs.bench.lab, vm, 1);
    const worker = await bench.startWorker();
    const fleet = await bench.openFleet();
    const running = bench.run(fleet);
    await eventually(() => held.count > 0);
    const { client } = bench.server;
    const refused = async (): Promise<number> =>
      Number(/^errorstat_OOM:count=(\d+)/m.exec(await client.info('errorstats'))?.[1] ?? 0);
    await client.config('SET', 'maxmemory', '1');
    held.release();
    await eventually(async () => (await jobs.list()).some(({ points }) => points.length === 1));
    await client.config('RESETSTAT');
    // Beats are refused too, so some refusals are needed to know that the result was.
    await eventually(async () => (await refused()) > 10);
    await client.config('SET', 'maxmemory', '0');
    const report = await running;

    expect(outcomesOf(report)).toEqual(['web01 success']);
    expect(jobs.codes()).toEqual([]);
    expect((await jobs.list()).map(({ points }) => points.length)).toEqual([1]);
    expect(worker.log).toContain('made restore point');
  });
});
