/**
 * Repositories on versitygw, a real S3 server that checks signatures and checksums, with versions
 * and Object Lock. `age` opens the key of a sealed one. check_vbk.py reads what came back.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { pruneRepository } from '../../../src/sessions/retention/pruneRepository.ts';
import { verifyRepository } from '../../../src/sessions/verify/verifyRepository.ts';
import { listRepository } from '../../../src/sessions/inspect/listRepository.ts';
import { blocks, MIB, sha256 } from '../../helpers/bytes/images.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { runCli } from '../../helpers/cli/cli.ts';
import { type TestPlace, useLab } from '../../helpers/lab/useLab.ts';
import { VM_KINDS, type VmKind, VmScene } from '../../helpers/lab/vmScene.ts';
import { VM } from '../../helpers/repository/imageSessions.ts';
import { keysOf, objectOf } from '../../helpers/s3/client.ts';
import { ImageChain } from '../../helpers/s3/imageChain.ts';
import { startVersitygw } from '../../helpers/s3/servers.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';
import { addRow } from '../environment.ts';
import { containersOf, isDisk, readIndependently } from '../readers/readers.ts';

const [HYBRID] = VM_KINDS as [VmKind];
const PEER = 'versitygw';
const DAY_MS = 86_400_000;
const CONTAINER = /\.(vbk|vib)$/;

const temp = useTempFolder();
let keyFile = '';
beforeEach(() => {
  keyFile = temp.path('key');
  writeFileSync(keyFile, 'a passphrase of the test\n', { mode: 0o600 });
});

async function command(...args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runCli(args);
  expect(exitCode, stderr).toBe(0);
  return stdout;
}

describe.each(['open', 'sealed'] as const)('an %s repository', (kind) => {
  const s3 = useS3({ start: startVersitygw, bucket: { versioning: true } });
  const place = (): TestPlace => ({
    repository: s3.repository,
    store: kind === 'sealed' ? { keyFile } : undefined,
  });
  const bench = useLab({}, place);

  it('holds a full, five increments and a merged chain to the byte', async () => {
    const scene = new VmScene(bench, HYBRID, [{}, { format: 'raw' }]);
    await scene.session();
    for (let k = 0; k < 5; k++) {
      scene.edit();
      await scene.session();
    }
    await scene.expectEveryPoint();

    const { vms } = await pruneRepository({ ...place(), keep: { last: 3 }, workers: 0 });

    expect(vms).toMatchObject([{ failure: undefined }]);
    scene.reports.splice(0, 3);
    scene.edit();
    await scene.session();
    await scene.expectEveryPoint();
    const { damage } = await verifyRepository({ ...place(), point: 'all', workers: 0 });
    expect(damage).toEqual([]);
    await s3.expectNoStrays();
    addRow(PEER, `${kind}: full, increments, prune, verify, restore of a VM`, true, 'all bytes');
  });

  it('works on after its lock was deleted by hand, which leaves a delete marker', async () => {
    const chain = new ImageChain(place(), temp.path());
    await chain.session(blocks('Aa0'));
    const [file = ''] = (await s3.keys()).filter((key) => key.endsWith('.vbm'));
    const lock = { Bucket: s3.bucket, Key: `backups/site/${path.posix.dirname(file)}/lock` };
    await s3.server.client.putObject({ ...lock, Body: '{}' });
    await s3.server.client.deleteObject(lock);

    await chain.session(blocks('Ba0'));

    await chain.check();
    await s3.expectNoStrays();
  });

  it('stores a container in parts whose checksums the server checks', async () => {
    const disks = [{ name: 'sys', sizeBytes: 40 * MIB }];
    const vm = bench.lab.addVm({ name: 'web01', compatibility: [4, 7], disks });
    vm.disk('sys').write(MIB, noise(1, 30 * MIB));
    s3.proxy.arm();

    const report = await bench.backup(vm);

    const { UploadPart: parts = 0 } = s3.proxy.counts();
    expect(parts).toBeGreaterThanOrEqual(3);
    const view = vm.frozenView(report.engine?.backupId ?? '', 'sys');
    await bench.expectRestored(vm, { sys: view }, report.pointId);
    await s3.expectNoStrays();
    addRow(PEER, `${kind}: a container of several parts`, true, `${parts} parts`);
  });

  it('leaves no version of a container that a prune deleted', async () => {
    const chain = new ImageChain(place(), temp.path());
    for (const letters of ['Aa0', 'Ba0', 'BCx']) await chain.session(blocks(letters));
    const before = await keysOf(s3.server.client, s3.bucket);

    await chain.prune(1);

    const { Versions = [] } = await s3.server.client.listObjectVersions({ Bucket: s3.bucket });
    const deleted = before.filter((key) => CONTAINER.test(key));
    expect(deleted).toHaveLength(3);
    expect(Versions.map(({ Key }) => Key).filter((key) => deleted.includes(key ?? ''))).toEqual([]);
    await chain.check(chain.knownIds.slice(-1));
    addRow(PEER, `${kind}: a prune in a bucket with versions`, true, 'no version is left');
  });
});

describe.each(['compliance', 'governance'] as const)('an immutable repository (%s)', (mode) => {
  const s3 = useS3({ start: startVersitygw, bucket: { objectLock: true } });

  it('keeps its files until their date, from its own account too', async () => {
    const store = { immutable: { periodMs: 2 * DAY_MS, mode } };
    const chain = new ImageChain({ repository: s3.repository, store }, temp.path());
    const startedAtMs = Date.now();
    for (const letters of ['Aa0', 'Ba0', 'BCx']) await chain.session(blocks(letters));
    const { client } = s3.server;
    const files = (await keysOf(client, s3.bucket)).filter((key) => /\.(vbk|vib|vbm)$/.test(key));
    expect(files).toHaveLength(4);

    for (const Key of files) {
      const { VersionId, ObjectLockMode, ObjectLockRetainUntilDate } = await client.headObject({
        Bucket: s3.bucket,
        Key,
      });
      expect(ObjectLockMode, Key).toBe(mode.toUpperCase());
      // The date counts whole seconds on the wire.
      const lockedMs = (ObjectLockRetainUntilDate?.getTime() ?? 0) - startedAtMs;
      expect(lockedMs, Key).toBeGreaterThanOrEqual(2 * DAY_MS - 1000);
      const deletion = client.deleteObject({ Bucket: s3.bucket, Key, VersionId });
      await expect(deletion, Key).rejects.toMatchObject({ $metadata: { httpStatusCode: 403 } });
    }
    await chain.check();
    addRow(PEER, `${mode}: delete of a locked version`, true, '403');
  });

  it('loses no point by a prune, and its files stay', async () => {
    const store = { immutable: { periodMs: 2 * DAY_MS, mode } };
    const chain = new ImageChain({ repository: s3.repository, store }, temp.path());
    for (const letters of ['Aa0', 'Ba0', 'BCx']) await chain.session(blocks(letters));
    const before = (await s3.keys()).filter((key) => CONTAINER.test(key));

    await chain.prune(1);

    const after = await s3.keys();
    expect(before.filter((key) => !after.includes(key))).toEqual([]);
    await chain.check(chain.knownIds.slice(-1));
    await chain.session(blocks('0Dx'));
    await chain.check(chain.knownIds.slice(-2));
    addRow(PEER, `${mode}: prune of locked containers`, true, 'they stay');
  });

  it('is refused where locks could not hold', async () => {
    const { server } = s3;
    const buckets = {
      'no-versions': {},
      'no-lock': { versioning: true },
      'with-default': {
        objectLock: true,
        defaultRetention: { mode: 'GOVERNANCE', days: 1 },
      },
    } as const;
    for (const [name, options] of Object.entries(buckets)) {
      const bucket = `${name}-${mode}`;
      await server.createBucket(bucket, options);
      const store = { immutable: { periodMs: DAY_MS, mode } };
      const chain = new ImageChain({ repository: `s3://${bucket}/site`, store }, temp.path());

      const session = chain.session(blocks('Aa0'));

      await expect(session, name).rejects.toMatchObject({ code: 'REPOSITORY_UNSUPPORTED' });
      expect(await keysOf(server.client, bucket), name).toEqual([]);
    }
    addRow(PEER, `${mode}: buckets whose locks do not hold`, true, 'refused');
  });
});

describe('a sealed repository', () => {
  const s3 = useS3({ start: startVersitygw });

  it('is opened with the key that age decrypts', async () => {
    const chain = new ImageChain({ repository: s3.repository, store: { keyFile } }, temp.path());
    await chain.session(blocks('Aa0'));
    await chain.session(blocks('Ba0'));
    const identity = temp.path('identity');
    execFileSync('age-keygen', ['-o', identity], { stdio: 'ignore' });
    const recipient = execFileSync('age-keygen', ['-y', identity], { encoding: 'utf8' }).trim();
    const place = ['--repo', s3.repository, '--key-file', keyFile];
    await command('key', 'add', ...place, '--recipient', recipient);
    const [key = ''] = (await s3.keys()).filter((name) => name.endsWith('.age'));
    const prefix = s3.repository.slice(`s3://${s3.bucket}/`.length);
    const sealed = await objectOf(s3.server.client, s3.bucket, `${prefix}/${key}`);

    const recovery = execFileSync('age', ['-d', '-i', identity], { input: sealed });

    expect(recovery.toString('utf8')).toMatch(/^ovirt-cbt recovery key 1\n/);
    const recoveryFile = temp.path('recovery');
    writeFileSync(recoveryFile, recovery, { mode: 0o600 });
    await chain.at({ repository: s3.repository, store: { keyFile: recoveryFile } }).check();
    addRow('age', 'recovery of the key of a sealed repository', true, 'all bytes');
  });

  it('gives back containers that check_vbk.py accepts', async () => {
    const chain = new ImageChain({ repository: temp.path('repo') }, temp.path());
    const images = ['AaBb0', 'CaBb0', 'CDxb0'].map((letters) => blocks(letters));
    for (const image of images) await chain.session(image);
    const back = temp.path('back');

    const { repository } = chain.place;
    await command('copy', '--from', repository, '--to', s3.repository, '--to-key-file', keyFile);
    await command('copy', '--from', s3.repository, '--from-key-file', keyFile, '--to', back);

    const { vms } = await listRepository({ repository: back, vm: VM });
    const read = readIndependently(
      containersOf(
        back,
        vms.flatMap(({ points }) => points),
      ),
    );
    const digests = read.chain.map(({ disks }) => disks.filter(isDisk).map((disk) => disk.sha256));
    expect(digests).toEqual(images.map((image) => [sha256(image)]));
    await chain.at({ repository: back }).check();
    addRow('check_vbk.py', 'a chain copied into a sealed bucket and back', true, 'all bytes');
  });
});
