/**
 * Password, tokens and tickets appear in no log, error, message, report or file of the repository.
 * This holds during a session and after it, however it ends.
 */
import { describe, expect, it } from 'vitest';
import type { LabAction, LabDiskSpec, LabMatch } from '../../lab/src/index.ts';
import type { BackupVmsOptions } from '../../src/sessions/backup/backupVms.ts';
import {
  Evidence,
  leak,
  LEAKY_SERVERS,
  WRONG_PASSWORD,
  WRONG_SETTINGS,
} from '../helpers/faults/secrets.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { inTurn } from '../helpers/longForm.ts';
import { VM_KINDS, type VmKind, VmScene } from '../helpers/lab/vmScene.ts';

const bench = useLab();
const [HYBRID] = VM_KINDS as [VmKind];
const IMAGE: LabMatch = { server: 'imageio', method: 'GET', path: /\/images\/[^/?]+$/ };

/** Collects all output and files of a session, whether it succeeds or fails. */
async function collect(
  scene: VmScene,
  options: Partial<BackupVmsOptions> = {},
): Promise<{ readonly evidence: Evidence; readonly hasFailed: boolean }> {
  const evidence = new Evidence();
  const run = (): void => evidence.addFiles(bench.repository, 'files during the session');
  bench.lab.faults.add({ path: /\/(finalize|extents)/ }, { run });
  const { logger } = evidence;
  let hasFailed = false;
  try {
    const report = await bench.backup(scene.vm, {
      logger,
      blockSizeBytes: BLOCK_BYTES,
      onMessage: (message) => evidence.add('messages', JSON.stringify(message)),
      onStatus: (text) => evidence.add('status', text),
      ...options,
    });
    evidence.add('report', JSON.stringify(report));
  } catch (error) {
    hasFailed = true;
    evidence.addError(error);
  }
  evidence.addFiles(bench.repository, 'files');
  for (const event of bench.lab.events()) evidence.add('events', JSON.stringify(event));
  return { evidence, hasFailed };
}

function secrets(): readonly string[] {
  const { lab } = bench;
  const login = Buffer.from(`${lab.username}:${lab.password}`).toString('base64');
  return [...lab.secrets(), login, WRONG_PASSWORD];
}

/** A VM with one restore point. Its next session is examined. */
async function prepare(disks: readonly Partial<LabDiskSpec>[] = [{}]): Promise<VmScene> {
  const scene = new VmScene(bench, HYBRID, disks);
  await scene.session();
  scene.edit();
  return scene;
}

describe('sessions that succeed', () => {
  it('show and keep no secret', async () => {
    const scene = await prepare([{}, { format: 'raw' }]);

    const { evidence, hasFailed } = await collect(scene);

    expect(hasFailed).toBe(false);
    expect(evidence.sources).toEqual(
      ['events', 'files', 'files during the session', 'log', 'messages', 'report', 'status'].sort(),
    );
    // The password, a token and two tickets for each of two sessions.
    expect(bench.lab.secrets().length).toBeGreaterThanOrEqual(7);
    expect(evidence.find(secrets())).toEqual([]);
  });

  it.each([
    ['a ticket is lost', { ...IMAGE, nth: 2 }, { dropTicket: true }],
    ['connections are reset', { ...IMAGE, times: 2 }, { reset: true }],
    ['a body is cut', { ...IMAGE, times: 2 }, { cutAfterBytes: 100 }],
    ['the host answers nothing in time', { ...IMAGE, nth: 1 }, { hang: true }],
    [
      'the token has expired',
      { server: 'engine', path: /imagetransfers/, nth: 1 },
      { status: 401 },
    ],
  ] satisfies [string, LabMatch, LabAction][])(
    'show and keep no secret though %s',
    async (_what, match, action) => {
      const scene = await prepare();
      bench.lab.faults.add(match, action);

      const { evidence, hasFailed } = await collect(scene, {
        engine: bench.settings({ imageioReadMs: 100 }),
      });

      expect(hasFailed).toBe(false);
      expect(evidence.find(secrets())).toEqual([]);
    },
  );

  it('show and keep no secret while they fall back to the proxy', async () => {
    const scene = await prepare();
    bench.lab.behaviour.directUrlUnreachable = true;

    const { evidence } = await collect(scene);

    expect(evidence.sources).toContain('messages');
    expect(evidence.find(secrets())).toEqual([]);
  });
});

describe('sessions that fail', () => {
  it.each(inTurn(LEAKY_SERVERS))(
    'show and keep no secret when $title and tells it',
    async (leaky) => {
      const scene = await prepare();
      const { lab } = bench;
      const engine = bench.settings({ connectMs: 300, cleanupMs: 1000 });
      const fault = lab.faults.add(leaky.match, leak(lab, leaky));

      const { evidence, hasFailed } = await collect(scene, { engine });

      expect(hasFailed).toBe(true);
      expect(evidence.find(secrets())).toEqual([]);
      lab.faults.remove(fault);
      await scene.session();
    },
  );

  it.each(WRONG_SETTINGS)('show and keep no secret when $title', async ({ settings }) => {
    const scene = await prepare();
    const engine = { ...bench.settings({ getRetryWindowMs: 50 }), ...settings(bench.lab) };

    const { evidence, hasFailed } = await collect(scene, { engine });

    expect(hasFailed).toBe(true);
    expect(evidence.find(secrets())).toEqual([]);
  });

  it.each([
    ['every ticket is lost', IMAGE, { dropTicket: true }],
    ['imageio resets all', { server: 'imageio' }, { reset: true }],
  ] satisfies [string, LabMatch, LabAction][])(
    'show and keep no secret when %s',
    async (_what, match, action) => {
      const scene = await prepare();
      bench.lab.faults.add(match, action);

      const { evidence, hasFailed } = await collect(scene);

      expect(hasFailed).toBe(true);
      expect(evidence.find(secrets())).toEqual([]);
    },
  );

  it('show and keep no secret when they are cancelled', async () => {
    const scene = await prepare();
    const controller = new AbortController();
    bench.lab.faults.add({ ...IMAGE, nth: 1 }, { run: () => controller.abort() });

    const { evidence, hasFailed } = await collect(scene, { signal: controller.signal });

    expect(hasFailed).toBe(true);
    expect(evidence.find(secrets())).toEqual([]);
  });
});

describe('a restore', () => {
  it.each([
    ['succeeds', undefined, undefined],
    ['is refused its ticket', { method: 'PUT' }, { dropTicket: true }],
    ['fails on storage', { method: 'PUT' }, { status: 500, body: 'Server failed' }],
  ] satisfies [string, LabMatch | undefined, LabAction | undefined][])(
    'that %s shows no secret',
    async (_what, match, action) => {
      const scene = await prepare();
      const evidence = new Evidence();
      const { logger } = evidence;
      const run = (): void => evidence.addFiles(bench.repository, 'files during the restore');
      bench.lab.faults.add({ method: 'PUT' }, { run });
      if (match && action) bench.lab.faults.add({ server: 'imageio', ...match }, action);

      await bench.restore(scene.vm, { logger }).then(
        (report) => evidence.add('report', JSON.stringify(report)),
        (error: unknown) => evidence.addError(error),
      );

      expect(evidence.sources).toContain(action ? 'error' : 'report');
      expect(evidence.sources).toContain('files during the restore');
      expect(evidence.find(secrets())).toEqual([]);
    },
  );
});

describe('the search for secrets', () => {
  it('finds one in every place that it looks at, and in each of its forms', () => {
    const secret = 'Plant/ed+secret';
    const bytes = Buffer.from(secret);
    const evidence = new Evidence();
    evidence.logger.trace({ deep: { inside: secret } }, 'a line');
    evidence.addError(new Error('outer', { cause: new Error('inner', { cause: secret }) }));
    evidence.add('base64', `Basic ${bytes.toString('base64')}`);
    evidence.add('url', `?password=${encodeURIComponent(secret)}`);
    evidence.add('dump', bytes.toString('hex'));
    evidence.add('bytes', Buffer.concat([Buffer.of(0, 255), bytes, Buffer.of(0)]));
    evidence.add('clean', 'nothing here');

    const found = evidence.find([secret]).map((line) => line.split(':')[0]);

    expect(found).toEqual(['log', 'error', 'base64', 'url', 'dump', 'bytes']);
  });
});
