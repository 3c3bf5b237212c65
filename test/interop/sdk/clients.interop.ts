/** The oVirt Python SDK, imageio's Python client and ovirt-img, run against the lab. */
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Lab, type LabVm, startLab } from '../../../lab/src/index.ts';
import { MIB } from '../../../src/core/units.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { addRow, env } from '../environment.ts';
import { qemuImg } from '../qemu/qemu.ts';

/** Speed of the engine's clock. Clients sleep whole seconds: a faster engine would time out. */
const TIME_SCALE = 0.05;

type Facts = Readonly<Record<string, unknown>>;

let lab: Lab;
let folder = '';
let vm: LabVm;
let peer: string;
let scenario: string;

beforeEach(async () => {
  lab = await startLab({ timeScale: TIME_SCALE });
  folder = mkdtempSync(path.join(tmpdir(), 'cbt-'));
  writeFileSync(path.join(folder, 'ca.pem'), lab.caPem);
  vm = lab.addVm({ name: 'web01', disks: [{ name: 'sys', sizeBytes: 8 * MIB, bootable: true }] });
  vm.disk('sys').write(MIB, noise(1, 2 * MIB));
});

afterEach(async ({ task }) => {
  const leftovers = lab.leftovers();
  await lab.close();
  rmSync(folder, { recursive: true });
  const isGood = task.result?.state !== 'fail' && leftovers.length === 0;
  addRow(peer, scenario, isGood);
  expect(leftovers).toEqual([]);
});

function programOf(name: string): string {
  return path.join(env('INTEROP_VENV'), 'bin', name);
}

function environment(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    LAB_URL: `${lab.url}/api`,
    LAB_USER: lab.username,
    LAB_PASSWORD: lab.password,
    LAB_CA: path.join(folder, 'ca.pem'),
    LAB_VM: vm.name,
  };
}

/** Runs sdkSession.py, with `onWrite` at its step "write now". @returns facts of all steps */
async function runSdk(onWrite: () => void): Promise<Facts[]> {
  const script = path.join(import.meta.dirname, 'sdkSession.py');
  const child = spawn(programOf('python'), [script], { env: environment() });
  let complaint = '';
  child.stderr.on('data', (text) => (complaint += String(text)));
  const steps: Facts[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const facts = JSON.parse(line) as Facts;
    steps.push(facts);
    if (facts['step'] !== 'write now') continue;
    onWrite();
    child.stdin.write('\n');
  }
  expect(complaint).not.toContain('Traceback');
  return steps;
}

function stepOf(steps: readonly Facts[], name: string): Facts {
  return steps.find(({ step }) => step === name) ?? {};
}

/** imageio's checksum of an image: the SHA-256 over the SHA-256 of each block of 4 MiB. */
function checksumOf(bytes: Buffer): string {
  const blockBytes = 4 * MIB;
  const outer = createHash('sha256');
  for (let at = 0; at < bytes.length; at += blockBytes) {
    outer.update(
      createHash('sha256')
        .update(bytes.subarray(at, at + blockBytes))
        .digest(),
    );
  }
  return outer.digest('hex');
}

describe('the oVirt Python SDK', () => {
  it('drives the engine of the lab as it drives a real one', async () => {
    [peer, scenario] = [
      'ovirtsdk4',
      'login, search, disks, backups, checkpoints, snapshots, events',
    ];
    const disk = vm.disk('sys');
    const before = disk.read(0, 8 * MIB);

    const steps = await runSdk(() => {
      disk.write(5 * MIB, Buffer.from('written!'));
      disk.zero(MIB, MIB);
    });

    const after = disk.read(0, 8 * MIB);
    const [full, increment] = steps.filter(({ step }) => step === 'backup');
    expect(stepOf(steps, 'wrong password')).toMatchObject({ error: 'AuthError' });
    expect(stepOf(steps, 'api')).toMatchObject({ major: 4 });
    expect(stepOf(steps, 'search')).toMatchObject({
      id: vm.id,
      status: 'up',
      nobody: 0,
      has_ovf: true,
    });
    expect(stepOf(steps, 'disks')).toMatchObject({
      count: 1,
      format: 'cow',
      backup: 'incremental',
      size: 8 * MIB,
      bootable: true,
      interface: 'virtio_scsi',
      domain: 1,
    });
    expect(stepOf(steps, 'system')).toMatchObject({ domains: ['data', 'block'] });
    expect(full).toMatchObject({
      mode: 'full',
      phase: 'succeeded',
      base: null,
      ranges: [[MIB, 2 * MIB, noise(1, 8).toString('hex')]],
      checksum: checksumOf(before),
    });
    expect(increment).toMatchObject({
      mode: 'incremental',
      phase: 'succeeded',
      base: full?.['checkpoint'],
      ranges: [
        [MIB, MIB, ''],
        [5 * MIB, 65_536, Buffer.from('written!').toString('hex')],
      ],
      checksum: checksumOf(after),
    });
    expect(stepOf(steps, 'checkpoints')).toMatchObject({
      listed: 2,
      disks: 1,
      left: 1,
      parent: null,
    });
    expect(stepOf(steps, 'snapshots')).toMatchObject({
      during: ['Active VM', 'by the SDK'],
      after: 1,
    });
    expect(stepOf(steps, 'events')).toMatchObject({
      count: 1,
      severity: 'warning',
      text: 'an event of the SDK',
    });
    expect(stepOf(steps, 'refused backup')).toMatchObject({ error: 'Error', code: 400 });
    expect(stepOf(steps, 'missing')).toMatchObject({ found: false });
  });
});

describe('ovirt-img', () => {
  const run = promisify(execFile);

  async function ovirtImg(...args: readonly string[]): Promise<void> {
    const passwordFile = path.join(folder, 'password');
    writeFileSync(passwordFile, lab.password);
    const [command = '', ...rest] = args;
    const login = {
      'engine-url': new URL(lab.url).origin,
      username: lab.username,
      'password-file': passwordFile,
      cafile: path.join(folder, 'ca.pem'),
    };
    const options = Object.entries(login).flatMap(([name, value]) => [`--${name}`, value]);
    await run(programOf('ovirt-img'), [command, ...options, ...rest]);
  }

  it.each(['raw', 'qcow2'])('downloads a disk of the lab as %s', async (format) => {
    [peer, scenario] = ['ovirt-img', `download-disk --format ${format}`];
    vm.status = 'down';
    const file = path.join(folder, `disk.${format}`);

    await ovirtImg('download-disk', '--format', format, vm.disk('sys').id, file);

    const plain = path.join(folder, 'plain.raw');
    qemuImg('convert', '-f', format, '-O', 'raw', file, plain);
    expect(readFileSync(plain).equals(vm.disk('sys').read(0, 8 * MIB))).toBe(true);
  });

  it.each(['raw', 'qcow2'])('uploads a %s image into a new disk of the lab', async (format) => {
    [peer, scenario] = ['ovirt-img', `upload-disk of a ${format} image`];
    const plain = path.join(folder, 'plain.raw');
    const bytes = Buffer.concat([noise(2, 3 * MIB), Buffer.alloc(2 * MIB), noise(3, MIB)]);
    writeFileSync(plain, bytes);
    const file = path.join(folder, `image.${format}`);
    if (format === 'qcow2') qemuImg('convert', '-f', 'raw', '-O', format, plain, file);
    else writeFileSync(file, bytes);

    await ovirtImg('upload-disk', '--name', 'uploaded', '--storage-domain', 'data', file);

    const disk = lab.disk('uploaded');
    expect(disk.sizeBytes).toBe(6 * MIB);
    expect(disk.read(0, 6 * MIB).equals(bytes)).toBe(true);
  });
});
