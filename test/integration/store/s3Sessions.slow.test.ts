/** Sessions of a VM whose repository is in S3, as it is and sealed: bytes, requests, clean-up. */
import { writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { openSealedPlace } from '../../../src/repository/repository.ts';
import { addKey } from '../../../src/sessions/keys/repositoryKeys.ts';
import { readKeyFile } from '../../../src/store/seal/keyFile.ts';
import { loadRing } from '../../../src/store/seal/keyRing.ts';
import { listRepository } from '../../../src/sessions/inspect/listRepository.ts';
import { pruneRepository } from '../../../src/sessions/retention/pruneRepository.ts';
import { verifyRepository } from '../../../src/sessions/verify/verifyRepository.ts';
import { BLOCK_BYTES, MIB } from '../../helpers/bytes/images.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { writeKeyFile } from '../../helpers/keyFile.ts';
import { type TestPlace, useLab } from '../../helpers/lab/useLab.ts';
import { VM_KINDS, type VmKind, VmScene } from '../../helpers/lab/vmScene.ts';
import { objectOf } from '../../helpers/s3/client.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const [HYBRID] = VM_KINDS as [VmKind];
const CONTAINER = /\.(vbk|vib)$/;
/** Requests of a session without changes, beside those for containers that it reads. */
const SESSION_REQUESTS = 15;
const REQUESTS_PER_CONTAINER = 2;

const temp = useTempFolder();
const s3 = useS3();

function writeKey(name: string): string {
  writeKeyFile(temp.path(name));
  return temp.path(name);
}

describe.each(['open', 'sealed'] as const)('an %s repository in S3', (kind) => {
  const place = (): TestPlace => ({
    repository: s3.repository,
    store: kind === 'sealed' ? { keyFile: temp.path('key') } : undefined,
  });
  const bench = useLab({}, place);
  beforeEach(() => void writeKey('key'));

  async function expectVerified(): Promise<void> {
    const { damage } = await verifyRepository({ ...place(), point: 'all', workers: 0 });
    expect(damage).toEqual([]);
  }

  async function pointIds(): Promise<string[]> {
    const { vms } = await listRepository(place());
    return vms.flatMap(({ points }) => points.map(({ pointId }) => pointId));
  }

  it('holds a full, five increments and a merged chain to the byte', async () => {
    const scene = new VmScene(bench, HYBRID, [{}, { format: 'raw' }]);
    await scene.session();
    for (let k = 0; k < 5; k++) {
      scene.edit();
      await scene.session();
    }
    expect(scene.reports.map(({ pointType }) => pointType)).toEqual([
      'full',
      ...Array.from({ length: 5 }, () => 'increment'),
    ]);
    await scene.expectEveryPoint();
    await scene.expectListed();
    await expectVerified();

    const { vms } = await pruneRepository({ ...place(), keep: { last: 3 }, workers: 0 });

    expect(vms).toMatchObject([{ failure: undefined }]);
    scene.reports.splice(0, 3);
    expect(await pointIds()).toEqual(scene.reports.map(({ pointId }) => pointId));
    scene.edit();
    expect((await scene.session()).pointType).toBe('increment');
    await scene.expectEveryPoint();
    await expectVerified();
    await s3.expectNoStrays();
  });

  it('takes few requests for a session without changes', async () => {
    const { lab } = bench;
    const disks = [{ name: 'sys', sizeBytes: 4 * BLOCK_BYTES }];
    const vm = lab.addVm({ name: 'web01', compatibility: [4, 7], disks });
    vm.disk('sys').write(0, noise(1, 3 * BLOCK_BYTES));
    await bench.backup(vm);
    await bench.backup(vm);
    s3.proxy.arm();

    const { fileBytes, disks: stored } = await bench.backup(vm);

    const { requests } = s3.proxy;
    const ofContainers = requests.filter(
      (request) => request.kind === 'GetObject' && CONTAINER.test(request.key),
    );
    const opened = new Set(ofContainers.map(({ key }) => key));
    console.log(`${kind}: ${requests.length} requests, ${opened.size} containers opened`);
    console.table(s3.proxy.counts());
    const seen = requests
      .map(({ kind: one, key }) => `${one} ${key.replace(/.*\//, '')}`)
      .join('\n');
    expect(stored).toMatchObject([{ mode: 'incremental', changedBytes: 0 }]);
    expect(fileBytes).toBeGreaterThan(0);
    expect(ofContainers.length).toBeLessThanOrEqual(REQUESTS_PER_CONTAINER * opened.size);
    expect(requests.length, seen).toBeLessThanOrEqual(
      SESSION_REQUESTS + REQUESTS_PER_CONTAINER * opened.size,
    );
  });

  it('stores a container in several parts, and reads it in windows', async () => {
    const { lab } = bench;
    const disks = [{ name: 'sys', sizeBytes: 40 * MIB }];
    const vm = lab.addVm({ name: 'web01', compatibility: [4, 7], disks });
    vm.disk('sys').write(MIB, noise(1, 30 * MIB));
    s3.proxy.arm();
    const report = await bench.backup(vm);
    const counts = s3.proxy.counts();

    const view = vm.frozenView(report.engine?.backupId ?? '', 'sys');
    await bench.expectRestored(vm, { sys: view }, report.pointId);

    expect(counts).toMatchObject({ CreateMultipartUpload: 1, CompleteMultipartUpload: 1 });
    expect(counts['UploadPart']).toBeGreaterThanOrEqual(3);
    await s3.expectNoStrays();
  });
});

async function repositoryKey(keyFile: string): Promise<Buffer> {
  const base = await openSealedPlace(s3.repository, {});
  try {
    const { keys } = await loadRing(base, await readKeyFile(keyFile), true);
    return keys[0]?.bytes ?? Buffer.alloc(0);
  } finally {
    await base.close();
  }
}

describe('a sealed repository in S3', () => {
  const bench = useLab({}, () => ({
    repository: s3.repository,
    store: { keyFile: temp.path('key') },
  }));
  beforeEach(() => void writeKey('key'));

  it('shows no name of a disk, no block and no key in its objects', async () => {
    writeFileSync(temp.path('key'), 'the passphrase of key\n', { mode: 0o600 });
    const vm = bench.lab.addVm({ name: 'web01', disks: [{ name: 'accounts', sizeBytes: MIB }] });
    const secret = noise(5, BLOCK_BYTES);
    vm.disk('accounts').write(0, secret);
    await bench.backup(vm);
    const place = { repository: s3.repository, store: { keyFile: temp.path('key') } };
    const recipient = await identityToRecipient(await generateIdentity());
    await addKey({ ...place, recipients: [recipient] });
    const key = await repositoryKey(place.store.keyFile);
    const canaries: readonly (readonly [string, string | Buffer])[] = [
      ['name of a disk', 'accounts'],
      ['block', secret.subarray(4096, 4160)],
      ['passphrase', 'the passphrase of key'],
      ['key', key],
      ['key in base64', key.toString('base64').replace(/=+$/, '')],
      ['key in hex', key.toString('hex')],
    ];

    const names = await s3.keys();
    expect(names.filter((name) => CONTAINER.test(name))).toHaveLength(1);
    expect(names.filter((name) => name.endsWith('.age'))).toHaveLength(1);
    for (const name of names) {
      const prefix = s3.repository.slice(`s3://${s3.bucket}/`.length);
      const content = await objectOf(s3.server.client, s3.bucket, `${prefix}/${name}`);
      for (const [what, canary] of canaries) {
        expect.soft(content.includes(canary), `${what} in ${name}`).toBe(false);
      }
    }
  });

  it.each([
    ['no key', undefined, 'REPOSITORY_KEY_MISSING'],
    ['another key', 'other', 'REPOSITORY_KEY_WRONG'],
  ] as const)('refuses %s, and nothing is written', async (_what, name, code) => {
    const vm = bench.lab.addVm({ name: 'web01', disks: [{ name: 'sys', sizeBytes: MIB }] });
    await bench.backup(vm);
    const before = await s3.keys();
    const given = name === undefined ? undefined : { keyFile: writeKey(name) };
    s3.proxy.arm();

    await expect(bench.backup(vm, { store: given })).rejects.toMatchObject({ code });
    await expect(listRepository({ repository: s3.repository, store: given })).rejects.toMatchObject(
      { code },
    );

    expect(await s3.keys()).toEqual(before);
    const kinds = Object.keys(s3.proxy.counts());
    expect(kinds.filter((one) => !/^(Get|Head|List)/.test(one))).toEqual([]);
  });
});

describe('a key for a repository that is not sealed', () => {
  const bench = useLab({}, () => ({ repository: s3.repository }));

  it('is refused, and nothing is written', async () => {
    const vm = bench.lab.addVm({ name: 'web01', disks: [{ name: 'sys', sizeBytes: MIB }] });
    await bench.backup(vm);
    const before = await s3.keys();
    const store = { keyFile: writeKey('key') };

    const listed = listRepository({ repository: s3.repository, store });

    await expect(listed).rejects.toMatchObject({ code: 'USAGE_INVALID_OPTION' });
    expect(await s3.keys()).toEqual(before);
  });
});
