/**
 * A session is paused for longer than the lease of its lock, at any of its steps. Another session
 * takes the lock over and stores a point. The first one goes on, and changes nothing.
 */
import { createHash } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { BackupError, type ErrorCode, RepositoryError } from '../../../src/core/errors.ts';
import { copyPoints } from '../../../src/sessions/copy/copyPoints.ts';
import { blocks, writeImage } from '../../helpers/bytes/images.ts';
import {
  isPaused,
  type Outcome,
  type RunningSession,
  type SessionStart,
  startSession,
} from '../../helpers/faults/pausedSession.ts';
import { writeKeyFile } from '../../helpers/keyFile.ts';
import type { TestPlace } from '../../helpers/lab/useLab.ts';
import { IS_LONG_FORM, longOr } from '../../helpers/longForm.ts';
import { VM } from '../../helpers/repository/imageSessions.ts';
import { ImageChain } from '../../helpers/s3/imageChain.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const LIMIT_MS = 1_800_000;
const FOLDER_LEASE_MS = 300;
/** Servers of buckets round times to seconds. */
const BUCKET_LEASE_MS = 3000;
const RETRY_MS = 50;
/** A container that comes that much later than the new lock is taken back. */
const LATE_MS = 5000;
const CONTENTS = ['Ba0c', 'BCac', 'ECa0', 'Eb0c', 'FbCc'];

const temp = useTempFolder();

/** Content of the files of a place by name, without reports: each session leaves one. */
type Snapshot = Readonly<Record<string, string>>;

/** A place whose sessions are paused. */
interface Scene {
  readonly place: TestPlace;
  readonly snapshot: () => Promise<Snapshot>;
  /** Pid of the process that holds the lock of the VM. */
  readonly holder: () => Promise<number | undefined>;
}

function placeOf(repository: string, isSealed: boolean): TestPlace {
  if (!isSealed) return { repository };
  const keyFile = temp.path('key');
  writeKeyFile(keyFile);
  return { repository, store: { keyFile } };
}

/** Tries again while the lock is held. */
async function whenFree<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof BackupError) || error.code !== 'REPOSITORY_LOCKED') throw error;
      await wait(RETRY_MS);
    }
  }
}

function isOfSession(name: string): boolean {
  return path.posix.basename(name).startsWith('session-');
}

function pidIn(text: string | undefined): number | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as { pid: number }).pid;
}

function folderScene(repository: string, isSealed: boolean): Scene {
  const files = (): string[] =>
    readdirSync(repository, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath, entry.name));
  return {
    place: placeOf(repository, isSealed),
    snapshot: async () => {
      const wanted = files().filter((name) => !isOfSession(name));
      return Object.fromEntries(
        wanted.map((name) => [
          path.relative(repository, name),
          createHash('sha256').update(readFileSync(name)).digest('hex'),
        ]),
      );
    },
    holder: async () => {
      const lock = files().find((name) => path.basename(name) === 'lock');
      return pidIn(lock && readFileSync(lock, 'utf8'));
    },
  };
}

/**
 * The first session was paused. `work` is that of another one. Then the first one goes on, and
 * `letGo` sends the request at which it was paused.
 */
async function overtake(
  scene: Scene,
  first: RunningSession,
  work: () => Promise<void>,
  letGo: () => void = () => {},
): Promise<{ readonly outcome: Outcome; readonly wasHeld: boolean }> {
  const wasHeld = (await scene.holder()) === first.child.pid;
  await work();
  const before = await scene.snapshot();
  first.child.kill('SIGCONT');
  letGo();
  const outcome = await first.outcome;
  if (wasHeld) expect(await scene.snapshot()).toEqual(before);
  return { outcome, wasHeld };
}

/** A chain of an image, and the image of the session that is paused. */
class Race {
  readonly chain: ImageChain;
  readonly scene: Scene;
  readonly leaseMs: number;
  #count = 0;

  constructor(scene: Scene, leaseMs: number) {
    this.scene = scene;
    this.leaseMs = leaseMs;
    this.chain = new ImageChain(scene.place, temp.path());
  }

  #content(): Buffer {
    return blocks(CONTENTS[this.#count++ % CONTENTS.length] ?? '');
  }

  async session(): Promise<void> {
    const content = this.#content();
    await whenFree(async () => {
      await this.chain.session(content);
    });
  }

  /** Its image has the same name, so it is the same disk. */
  backupStart(): SessionStart {
    const image = temp.path('first', 'image');
    mkdirSync(path.dirname(image), { recursive: true });
    const content = this.#content();
    this.chain.prepare(content);
    writeImage(image, content);
    const options = { ...this.scene.place, images: [image], vmName: VM, workers: 0 };
    return { kind: 'backup', options, leaseMs: this.leaseMs };
  }

  /** The lock was held by the first session: it has failed, or it had stored its point before. */
  async checkBackup(
    { outcome, wasHeld }: { readonly outcome: Outcome; readonly wasHeld: boolean },
    listed: readonly string[],
  ): Promise<void> {
    if (wasHeld && outcome.pointId === undefined) expect(outcome.code).toBe('REPOSITORY_LOCKED');
    if (wasHeld && outcome.pointId !== undefined) expect(listed).toContain(outcome.pointId);
    if (!wasHeld) expect(outcome.code).toBeUndefined();
    await this.chain.check((await this.chain.pointIds()).slice(-1));
  }
}

/**
 * Sealing wraps the same folders and buckets, so only the long form has sealed ones. Each stop
 * costs a process and the time of a lease, so the short form tries few of them.
 */
const PLACES = [
  ['an open folder', false],
  ...(IS_LONG_FORM ? ([['a sealed folder', true]] as const) : []),
] as const;

/** Each rename and each deletion of a session, and some of its other file operations. */
function* stopsOf(strides: Readonly<Record<string, number>>): Generator<[string, number]> {
  for (const [name, stride] of Object.entries(strides)) {
    for (let nth = 1; nth < 200; nth += stride) yield [name, nth];
  }
}

/** Runs `attempt` at all operations that happen. */
async function atEach(
  strides: Readonly<Record<string, number>>,
  attempt: (name: string, nth: number) => Promise<boolean>,
): Promise<number> {
  let paused = 0;
  let over = '';
  for (const [name, nth] of stopsOf(strides)) {
    if (over === name) continue;
    if (await attempt(name, nth)) paused++;
    else over = name;
  }
  return paused;
}

describe.each(PLACES)('in %s', (_kind, isSealed) => {
  test(
    'a paused backup changes nothing after another session took over',
    async () => {
      const repository = temp.path('repository');
      const race = new Race(folderScene(repository, isSealed), FOLDER_LEASE_MS);
      await race.session();
      let lost = 0;

      const strides = {
        rename: longOr(1, 3),
        rm: longOr(1, 5),
        open: longOr(1, 60),
        sync: longOr(1, 15),
      };
      const paused = await atEach(strides, async (name, nth) => {
        const stop = { root: repository, name, nth };
        const first = startSession({ ...race.backupStart(), stop });
        if (!(await isPaused(first))) return false;
        let listed: readonly string[] = [];
        const result = await overtake(race.scene, first, async () => {
          await race.session();
          listed = await race.chain.pointIds();
        });
        if (result.outcome.code) lost++;
        await race.checkBackup(result, listed);
        await race.chain.prune(3);
        return true;
      });

      expect(paused).toBeGreaterThan(3);
      expect(lost).toBeGreaterThan(1);
    },
    LIMIT_MS,
  );

  test(
    'a paused prune deletes and merges nothing more',
    async () => {
      const repository = temp.path('repository');
      const race = new Race(folderScene(repository, isSealed), FOLDER_LEASE_MS);
      let lost = 0;

      const strides = { rename: longOr(1, 4), rm: longOr(1, 5), open: longOr(2, 90) };
      const paused = await atEach(strides, async (name, nth) => {
        while ((await race.chain.pointIds()).length < 4) await race.session();
        const options = { ...race.scene.place, keep: { last: 2 }, workers: 0 };
        const stop = { root: repository, name, nth };
        const first = startSession({ kind: 'prune', options, leaseMs: FOLDER_LEASE_MS, stop });
        if (!(await isPaused(first))) return false;
        const kept = (await race.chain.pointIds()).slice(-2);
        const { outcome, wasHeld } = await overtake(race.scene, first, () => race.session());
        if (outcome.code) lost++;
        expect([undefined, 'REPOSITORY_LOCKED']).toContain(wasHeld ? outcome.code : undefined);
        await race.chain.check(wasHeld ? kept : kept.slice(-1));
        return true;
      });

      expect(paused).toBeGreaterThan(3);
      expect(lost).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );

  test(
    'a paused copy adds nothing to its target',
    async () => {
      const source = new Race(folderScene(temp.path('repository'), false), FOLDER_LEASE_MS);
      for (let k = 0; k < 3; k++) await source.session();
      let nthTarget = 0;
      let lost = 0;

      const paused = await atEach({ rename: longOr(1, 3), rm: longOr(1, 3) }, async (name, nth) => {
        const target = temp.path(`target-${nthTarget++}`);
        const scene = folderScene(target, isSealed);
        const options = {
          from: source.scene.place.repository,
          to: target,
          toStore: scene.place.store,
          workers: 0,
        };
        await copyPoints({ ...options, vm: VM, point: '1' });
        const stop = { root: target, name, nth };
        const first = startSession({ kind: 'copy', options, leaseMs: FOLDER_LEASE_MS, stop });
        if (!(await isPaused(first))) return false;
        const { outcome } = await overtake(scene, first, async () => {
          await whenFree(async () => {
            const [failure] = (await copyPoints(options)).failures;
            if (failure) throw new RepositoryError(failure.code as ErrorCode, failure.message);
          });
        });
        if (outcome.code) lost++;
        await source.chain.at(scene.place).check();
        return true;
      });

      expect(paused).toBeGreaterThan(1);
      expect(lost).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );
});

describe.each([
  ['an open repository', false, longOr(1, 9)],
  ...(IS_LONG_FORM ? ([['a sealed repository', true, 1]] as const) : []),
] as const)('in a bucket, %s', (_kind, isSealed, stride) => {
  const s3 = useS3();
  /** True when the session is paused at the request that makes its container. */
  let isContainer = false;

  function bucketScene(): Scene {
    const { client } = s3.server;
    const prefix = s3.repository.slice(`s3://${s3.bucket}/`.length);
    return {
      place: placeOf(s3.repository, isSealed),
      snapshot: async () => {
        const { Contents = [] } = await client.listObjectsV2({ Bucket: s3.bucket });
        const files = Contents.filter(({ Key = '' }) => !isOfSession(Key));
        return Object.fromEntries(files.map(({ Key = '', ETag = '' }) => [Key, ETag]));
      },
      holder: async () => {
        const lock = (await s3.keys()).find((key) => key.endsWith('/lock'));
        if (lock === undefined) return undefined;
        const found = await client.getObject({ Bucket: s3.bucket, Key: `${prefix}/${lock}` });
        return pidIn(await found.Body?.transformToString());
      },
    };
  }

  /** Pauses a session at its request `nth`, which reaches the server when it goes on. */
  async function pausedAt(
    start: SessionStart,
    nth: number,
    late: Promise<unknown>,
  ): Promise<RunningSession | undefined> {
    let stop: (() => void) | undefined;
    isContainer = false;
    s3.proxy.arm(async (request) => {
      if (request.nth !== nth || !stop) return undefined;
      isContainer = request.kind === 'PutObject' && /\.(?:vbk|vib)$/.test(request.key);
      stop();
      stop = undefined;
      await late;
      return undefined;
    });
    const first = startSession(start);
    stop = () => first.child.kill('SIGSTOP');
    return (await isPaused(first)) ? first : undefined;
  }

  test.each([
    ['backup', 1] as const,
    // Each of its stops needs several sessions.
    ...(IS_LONG_FORM ? ([['prune', 2]] as const) : []),
  ])(
    'a paused %s changes nothing after another session took over',
    async (kind, more) => {
      const scene = bucketScene();
      const race = new Race(scene, BUCKET_LEASE_MS);
      await race.session();
      let [paused, lost] = [0, 0];

      for (let nth = 1; ; nth += stride * more) {
        if (kind === 'prune') while ((await race.chain.pointIds()).length < 4) await race.session();
        const prune = { ...scene.place, keep: { last: 2 }, workers: 0 };
        const start =
          kind === 'backup'
            ? race.backupStart()
            : ({ kind, options: prune, leaseMs: BUCKET_LEASE_MS } as const);
        const gate = new EventEmitter();
        const first = await pausedAt(start, nth, once(gate, 'open'));
        if (!first) break;
        paused++;
        let listed: readonly string[] = [];
        const kept = (await race.chain.pointIds()).slice(-2);
        const work = async (): Promise<void> => {
          await race.session();
          if (isContainer) await wait(LATE_MS);
          listed = await race.chain.pointIds();
        };
        const result = await overtake(scene, first, work, () => void gate.emit('open'));
        if (result.outcome.code) lost++;
        if (kind === 'backup') {
          await race.checkBackup(result, listed);
          await race.chain.prune(3);
        } else {
          expect([undefined, 'REPOSITORY_LOCKED']).toContain(result.outcome.code);
          await race.chain.check(result.wasHeld ? kept : kept.slice(-1));
        }
      }

      expect(paused).toBeGreaterThan(1);
      expect(lost).toBeGreaterThan(0);
      await s3.expectNoStrays();
    },
    LIMIT_MS,
  );
});
