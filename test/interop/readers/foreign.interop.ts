/**
 * Genuine files of another program, which dissect.archive has in its sources: restored, exported,
 * verified and inspected. The hashes of the disks are those of dissect.archive's own tests. Nothing
 * of the files is kept.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addRow, env } from '../environment.ts';
import { sha256OfFile } from '../../helpers/bytes/images.ts';

const run = promisify(execFile);

const SOURCES = 'dissect.archive==1.8';
const CLI = path.resolve('dist/cli/launch.cjs');
const MAX_OUTPUT_BYTES = 1 << 26;

const SAMPLES = [
  {
    name: 'test13.vbk',
    version: 13,
    disk: '8b14f74c-360d-4d7a-98f7-7f4c5e737eb7',
    vm: 'localhost',
    sha256: 'e9ed281cf9c2fe1745e4eb9c926c1a64bd47569c48be511c5fdf6fd5793e5a77',
  },
  {
    name: 'test9.vbk',
    version: 9,
    disk: 'DEV__dev_nvme1n1',
    vm: 'debian BackupJob1',
    sha256: '337350cac29d2ed34c23ce9fc675950badf85fd2b694791abe6999d36f0dc1b3',
  },
] as const;

let folder = '';

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'cbt-'));
  const python = path.join(env('INTEROP_VENV'), 'bin', 'python');
  const options = ['--no-binary', ':all:', '--no-deps', '-q'];
  await run(python, ['-m', 'pip', 'download', ...options, '-d', folder, SOURCES]);
  const archive = readdirSync(folder).find((name) => name.endsWith('.tar.gz')) ?? '';
  await run('tar', ['-xzf', path.join(folder, archive), '-C', folder]);
  const found = readdirSync(folder, { recursive: true }).map(String);
  for (const { name } of SAMPLES) {
    const packed = found.find((file) => path.basename(file) === `${name}.gz`) ?? '';
    writeFileSync(path.join(folder, name), gunzipSync(readFileSync(path.join(folder, packed))));
  }
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function cli(...args: readonly string[]): Promise<string> {
  const options = { maxBuffer: MAX_OUTPUT_BYTES };
  return (await run(process.execPath, [CLI, ...args], options)).stdout;
}

/** Serves the only disk of a file, and gives the hash of what nbdcopy reads from it. */
async function exported(file: string, copy: string): Promise<string> {
  const args = ['export', '--file', file, '--socket', `${copy}.sock`];
  const server = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const more of server.stdout) {
    text += String(more);
    if (/nbd\+unix:[^\s"]+\n/.test(text)) break;
  }
  const [uri = ''] = /nbd\+unix:[^\s"]+/.exec(text) ?? [];
  await run('nbdcopy', [uri, copy]);
  server.kill('SIGINT');
  const [exitCode] = (await once(server, 'exit')) as [number];
  expect(exitCode).toBe(0);
  return sha256OfFile(copy);
}

describe.each(SAMPLES)('$name', ({ name, version, disk, vm, sha256 }) => {
  it('is inspected', async () => {
    const report = JSON.parse(
      await cli('inspect', '--json', '--file', path.join(folder, name)),
    ) as Record<string, unknown>;

    expect(report).toMatchObject({
      files: [{ formatVersion: version, problems: [] }],
      vms: [{ name: vm, disks: [{ name: disk, content: 'full' }] }],
      messages: [],
    });
  });

  it('is verified', async () => {
    const report: unknown = JSON.parse(
      await cli('verify', '--json', '--file', path.join(folder, name)),
    );

    expect(report).toMatchObject({ outcome: 'ok', damageCount: 0 });
  });

  it('is restored to the bytes that dissect.archive names', async () => {
    const output = path.join(folder, `${name}.out`);
    await cli('restore', '--file', path.join(folder, name), '--output', output);

    expect(readdirSync(output)).toEqual([disk]);
    expect(sha256OfFile(path.join(output, disk))).toBe(sha256);
    addRow('dissect.archive', `genuine ${name}, restored`, true, sha256.slice(0, 16));
  });

  it('is exported to the bytes that dissect.archive names', async () => {
    const copy = path.join(folder, `${name}.copy`);

    expect(await exported(path.join(folder, name), copy)).toBe(sha256);
    addRow('dissect.archive', `genuine ${name}, nbdcopy of the export`, true, sha256.slice(0, 16));
  });
});
