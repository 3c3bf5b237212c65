/** Each route of the console's API, for each kind of client, over real connections. */
import { describe, expect, it } from 'vitest';
import { API_BASE, type RouteName, ROUTES } from '../../src/console/api/routes.ts';
import { problemSchema } from '../../src/console/api/schemas.ts';
import type { TaskRequest } from '../../src/console/contract.ts';
import {
  type Asked,
  bearer,
  codeOf,
  type ConsoleBench,
  logIn,
  startConsole,
  TOKENS,
} from '../helpers/console/consoleBench.ts';
import type { FakeSources } from '../helpers/console/fakeSources.ts';

type Example = Asked & { readonly target: string };

const ALL = Object.keys(ROUTES) as RouteName[];
const CHANGES = ALL.filter((name) => ROUTES[name].access === 'change');
const READS = ALL.filter((name) => ROUTES[name].access === 'read' && name !== 'logout');
/** Routes whose path has a parameter. */
const WITH_IDS = ALL.filter((name) => ROUTES[name].path.includes(':'));

async function pointOf(sources: FakeSources): Promise<TaskRequest & { type: 'verify' }> {
  const vm = (await sources.vms()).find(({ health }) => health === 'good');
  const { jobName, vmKey } = vm ?? { jobName: '', vmKey: '' };
  const { points } = await sources.chain(jobName, vmKey);
  return { type: 'verify', jobName, vmKey, pointId: points.at(-1)?.pointId ?? '' };
}

/** A request to a route that is right. */
async function exampleOf(name: RouteName, sources: FakeSources): Promise<Example> {
  const point = await pointOf(sources);
  const [run] = await sources.runs(undefined, 1);
  const jobs = await sources.jobs();
  const isLive = name === 'stopRun';
  const values: Readonly<Record<string, string | undefined>> = {
    job: name === 'startRun' ? 'databases' : point.jobName,
    vm: point.vmKey,
    point: point.pointId,
    run: isLive ? jobs.find(({ runId }) => runId)?.runId : run?.runId,
    task: sources.tasks().find(({ state }) => state === 'running')?.taskId,
  };
  const path = ROUTES[name].path.replaceAll(/:(\w+)/g, (_, key: string) =>
    encodeURIComponent(values[key] ?? ''),
  );
  const bodies: Partial<Record<RouteName, unknown>> = {
    login: { token: TOKENS.operator },
    startTask: point,
  };
  const method = ROUTES[name].method.toUpperCase();
  return { target: API_BASE + path, method, body: bodies[name] };
}

async function askAs(
  bench: ConsoleBench,
  name: RouteName,
  headers: Readonly<Record<string, string>>,
): Promise<{ readonly status: number; readonly code: string | undefined }> {
  const { target, ...asked } = await exampleOf(name, bench.sources);
  const message = await bench.open(target, { ...asked, headers });
  const status = message.statusCode ?? 0;
  // Events have no end.
  if (status === 200 && name === 'events') message.destroy();
  const texts = status === 200 && name === 'events' ? [] : await message.toArray();
  const body = Buffer.concat(texts as Buffer[]).toString();
  const isProblem = status >= 400;
  if (isProblem) problemSchema.parse(JSON.parse(body));
  return { status, code: isProblem ? codeOf({ status, headers: {}, body }) : undefined };
}

describe('a client with the token of an operator', () => {
  it.each(ALL)('gets an answer of %s that fits its schema', async (name) => {
    const bench = await startConsole();
    const { target, ...asked } = await exampleOf(name, bench.sources);
    const { status, answer, type } = ROUTES[name];
    if (type === 'text/event-stream') {
      const message = await bench.open(target, { headers: bearer('operator') });
      message.destroy();

      expect(message.statusCode).toBe(status);
      expect(message.headers['content-type']).toContain(type);
      return;
    }
    const given = await bench.ask(target, { ...asked, headers: bearer('operator') });

    expect(given.status).toBe(status);
    if (answer) expect(answer.safeParse(JSON.parse(given.body)).error).toBeUndefined();
    else expect(given.headers['content-type'] ?? '').toContain(type ?? '');
    expect(given.body === '').toBe(!answer && !type);
    expect(bench.failures).toEqual([]);
  });

  it.each(CHANGES)('needs no CSRF token for %s', async (name) => {
    const bench = await startConsole();
    const { status } = ROUTES[name];

    expect(await askAs(bench, name, bearer('operator'))).toEqual({ status, code: undefined });
    expect(bench.changes).toMatchObject([{ route: name, address: '127.0.0.1' }]);
  });
});

describe('a browser of an operator', () => {
  it.each([...READS, ...CHANGES])('may ask for %s', async (name) => {
    const bench = await startConsole();
    const { status } = ROUTES[name];

    expect(await askAs(bench, name, await logIn(bench))).toEqual({ status, code: undefined });
  });

  it.each([...CHANGES, 'logout' as const])('needs its CSRF token for %s', async (name) => {
    const bench = await startConsole();
    const { cookie, 'x-csrf-token': token } = await logIn(bench);
    const other = await logIn(bench, 'readOnly');
    const wrong = [{}, { 'x-csrf-token': '' }, { 'x-csrf-token': `${token}x` }, other];

    for (const headers of wrong) {
      const answer = await askAs(bench, name, { ...headers, cookie });
      expect(answer).toEqual({ status: 403, code: 'API_CSRF' });
    }
    expect(bench.changes).toEqual([]);
  });

  it.each([...READS, ...CHANGES])('may not ask for %s after its login expired', async (name) => {
    const bench = await startConsole();
    const headers = await logIn(bench);
    bench.clock.nowMs = 8 * 3_600_000;

    const answer = await askAs(bench, name, headers);
    expect(answer).toEqual({ status: 401, code: 'API_LOGIN_NEEDED' });
  });
});

describe('a client that may only look', () => {
  it.each(READS)('may ask for %s', async (name) => {
    const bench = await startConsole();
    const { status } = ROUTES[name];

    expect(await askAs(bench, name, bearer('readOnly'))).toEqual({ status, code: undefined });
    const browser = await askAs(bench, name, await logIn(bench, 'readOnly'));
    expect(browser).toEqual({ status, code: undefined });
  });

  it.each(CHANGES)('may not ask for %s', async (name) => {
    const bench = await startConsole();
    const refused = { status: 403, code: 'API_READ_ONLY' };

    expect(await askAs(bench, name, bearer('readOnly'))).toEqual(refused);
    expect(await askAs(bench, name, await logIn(bench, 'readOnly'))).toEqual(refused);
    expect(bench.changes).toEqual([]);
  });

  it('is told its role', async () => {
    const bench = await startConsole();
    const me = await bench.ask('/api/v1/me', { headers: bearer('readOnly') });

    expect(JSON.parse(me.body)).toEqual({
      role: 'readOnly',
      csrfToken: '',
      productVersion: '1.2.3',
      restoreFolder: true,
    });
  });
});

describe('a client without a login', () => {
  it.each([...READS, ...CHANGES, 'logout' as const])('may not ask for %s', async (name) => {
    const bench = await startConsole();
    const needed = { status: 401, code: 'API_LOGIN_NEEDED' };
    const refused = { status: 401, code: 'API_TOKEN_REFUSED' };

    expect(await askAs(bench, name, {})).toEqual(needed);
    expect(await askAs(bench, name, { cookie: 'ovirt-cbt=' })).toEqual(needed);
    expect(await askAs(bench, name, { cookie: `ovirt-cbt=${'A'.repeat(43)}` })).toEqual(needed);
    expect(await askAs(bench, name, { authorization: 'Bearer wrong' })).toEqual(refused);
    expect(await askAs(bench, name, { authorization: 'Basic Og==' })).toEqual(refused);
  });

  it('may not use a role that has no token', async () => {
    const bench = await startConsole({ tokens: { operator: TOKENS.operator } });
    const empty = await bench.ask('/api/v1/vms', { headers: { authorization: 'Bearer ' } });

    expect(empty.status).toBe(401);
    expect((await bench.ask('/api/v1/vms', { headers: bearer('readOnly') })).status).toBe(401);
    expect((await bench.ask('/api/v1/vms', { headers: bearer('operator') })).status).toBe(200);
  });
});

describe('ids that do not exist', () => {
  it.each(WITH_IDS)('of %s are not found', async (name) => {
    const bench = await startConsole();
    const { method, path } = ROUTES[name];
    const { body } = await exampleOf(name, bench.sources);

    for (const id of ['none', '..%2F..%2Fetc', '%E2%80%AE', "'; drop", 'constructor']) {
      const target = API_BASE + path.replaceAll(/:\w+/g, encodeURI(id).replaceAll('%25', '%'));
      const answer = await bench.ask(target, {
        method: method.toUpperCase(),
        headers: bearer('operator'),
        body,
      });
      expect([id, answer.status]).toEqual([id, 404]);
    }
    expect(bench.failures).toEqual([]);
  });

  it('have names that are decoded once', async () => {
    const bench = await startConsole();
    const vms = await bench.sources.vms();
    const names = vms.filter(({ health }) => health === 'never').map(({ vmKey }) => vmKey);
    const { jobName = '', vmKey = '' } = vms.find(({ vmName }) => vmName.includes('🐘')) ?? {};
    const asked = [...names.map((key) => ['nightly', key]), [jobName, vmKey]] as const;

    expect(names.length).toBeGreaterThan(0);
    for (const [job = '', key = ''] of asked) {
      const target = `/api/v1/jobs/${job}/vms/${encodeURIComponent(key)}/chain`;
      const answer = await bench.ask(target, { headers: bearer('readOnly') });
      const known = vms.some((vm) => vm.jobName === job && vm.vmKey === key);
      expect([key, answer.status]).toEqual([key, known ? 200 : 404]);
    }
    // `%2541` names `%41`, not `A`.
    const twice = await bench.ask('/api/v1/jobs/nightly/vms/%2541/chain', {
      headers: bearer('readOnly'),
    });
    expect(twice.body).toContain('%41');
  });
});

describe('failures of the daemon', () => {
  it('are told without their texts, and go to its log', async () => {
    const bench = await startConsole();
    const error = new Error('password=hunter2 at /root/secret.ts:1');
    bench.sources.nextFailure = error;
    const answer = await bench.ask('/api/v1/vms', { headers: bearer('operator') });

    expect(answer.status).toBe(500);
    expect(codeOf(answer)).toBe('INTERNAL_INVARIANT');
    expect(answer.body).not.toContain('hunter2');
    expect(answer.body).not.toContain('secret.ts');
    expect(bench.failures).toEqual([error]);
  });

  it('are told also when something is thrown that is no error', async () => {
    const bench = await startConsole();
    bench.sources.nextFailure = 'hunter2';
    const answer = await bench.ask('/api/v1/jobs', { headers: bearer('operator') });

    expect(answer.status).toBe(500);
    expect(answer.body).not.toContain('hunter2');
    expect(bench.failures).toEqual(['hunter2']);
  });
});

describe('a list of VMs', () => {
  it('is not sent again while nothing changes', async () => {
    const bench = await startConsole();
    const headers = bearer('readOnly');
    const first = await bench.ask('/api/v1/vms', { headers });
    const etag = first.headers.etag ?? '';
    const again = async (known: string): Promise<number> =>
      (await bench.ask('/api/v1/vms', { headers: { ...headers, 'if-none-match': known } })).status;

    expect(await again(etag)).toBe(304);
    expect(await again(`"other", W/${etag}`)).toBe(304);
    expect(await again('"other"')).toBe(200);
    await bench.sources.startRun('by-hand', undefined);
    expect(await again(etag)).toBe(200);
  });

  it('is not sent from memory to somebody who has logged out', async () => {
    const bench = await startConsole();
    const { headers } = await bench.ask('/api/v1/vms', { headers: bearer('readOnly') });
    const etag = headers.etag ?? '';

    const answer = await bench.ask('/api/v1/vms', { headers: { 'if-none-match': etag } });
    expect(answer.status).toBe(401);
  });
});

describe('what a client starts', () => {
  it('is a run of some VMs', async () => {
    const bench = await startConsole();
    const [first, second] = (await bench.sources.vms()).filter((vm) => vm.jobName === 'by-hand');
    const before = bench.sources.sessions().length;
    const answer = await bench.ask('/api/v1/jobs/by-hand/runs', {
      method: 'POST',
      headers: bearer('operator'),
      body: { only: [first?.vmKey, second?.vmKey] },
    });

    expect(answer.status).toBe(202);
    const { runId } = JSON.parse(answer.body) as { runId: string };
    const sessions = bench.sources.sessions().filter((session) => session.runId === runId);
    expect(sessions.map(({ vmName }) => vmName)).toEqual([first?.vmName, second?.vmName]);
    expect(bench.sources.sessions()).toHaveLength(before + 2);
  });

  it('is refused while the job runs', async () => {
    const bench = await startConsole();
    const asked = { method: 'POST', headers: bearer('operator') };
    const answer = await bench.ask('/api/v1/jobs/nightly/runs', asked);

    expect([answer.status, codeOf(answer)]).toEqual([409, 'JOB_RUNNING']);
  });
});
