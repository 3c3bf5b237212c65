/** Runs the programs of docs/examples against the lab, from the compiled package. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { addSampleVms, type Lab, startLab } from '../../lab/src/index.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { BLOCK_BYTES, blocks } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const execute = promisify(execFile);
const EXAMPLES = path.resolve(import.meta.dirname, '../../docs/examples');
const MIB = 1024 * 1024;

describe('the example', () => {
  const folder = useTempFolder();

  async function run(name: string, ...args: readonly string[]): Promise<Buffer> {
    const options = { cwd: folder.path('.'), encoding: 'buffer', env: environment } as const;
    const { stdout } = await execute(
      process.execPath,
      [path.join(EXAMPLES, name), ...args],
      options,
    );
    return stdout;
  }

  let environment: NodeJS.ProcessEnv = process.env;

  /** Writes the settings of a lab where the examples look for them. */
  function useEngine(lab: Lab): void {
    writeFileSync(folder.path('ca.pem'), lab.caPem);
    writeFileSync(folder.path('password'), lab.password, { mode: 0o600 });
    environment = {
      ...process.env,
      OVIRT_URL: lab.url,
      OVIRT_USERNAME: lab.username,
      OVIRT_PASSWORD_FILE: folder.path('password'),
      OVIRT_CAFILE: folder.path('ca.pem'),
      TMPDIR: folder.path('.'),
    };
  }

  it('vm-to-block-files keeps a VM as files, and later only its changes', async () => {
    await using lab = await startLab();
    const vm = lab.addVm({ name: 'web01', disks: [{ name: 'sys', sizeBytes: 4 * MIB }] });
    const disk = vm.disk('sys');
    disk.write(MIB, noise(1, 2 * MIB));
    useEngine(lab);

    const first = await run('vm-to-block-files.mjs', 'web01', 'blocks');
    disk.write(2 * MIB, noise(2, MIB));
    disk.zero(MIB, MIB);
    const second = await run('vm-to-block-files.mjs', 'web01', 'blocks');

    expect(first.toString()).toBe(`sys: full, ${2 * MIB} bytes\n`);
    expect(second.toString()).toBe(`sys: incremental, ${MIB} bytes\n`);
    const blocks = folder.path(`blocks/${disk.id}`);
    expect(readdirSync(blocks)).toEqual([String(2 * MIB)]);
    expect(readFileSync(path.join(blocks, String(2 * MIB)))).toEqual(noise(2, MIB));
  });

  it('vm-to-http waits for a slow server', async () => {
    await using lab = await startLab();
    addSampleVms(lab);
    useEngine(lab);
    const requests: string[] = [];
    let open = 0;
    let mostOpen = 0;
    const server = createServer((request, response) => {
      mostOpen = Math.max(mostOpen, ++open);
      request.resume().on('end', () => {
        setTimeout(() => {
          requests.push(request.method ?? '');
          open--;
          response.end();
        }, 5);
      });
    });
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      await run('vm-to-http.mjs', 'web01', `http://127.0.0.1:${port}/`);
    } finally {
      server.close();
    }

    expect(requests.filter((method) => method === 'PUT').length).toBeGreaterThan(5);
    expect(requests).toContain('DELETE');
    expect(mostOpen).toBe(1);
  });

  it('image-sync writes only what differs', async () => {
    const content = noise(1, 3 * MIB + 17);
    writeFileSync(folder.path('source.raw'), content);

    const first = await run('image-sync.mjs', 'source.raw', 'copy.raw');
    content.fill(0, MIB, 2 * MIB);
    writeFileSync(folder.path('source.raw'), content);
    const second = await run('image-sync.mjs', 'source.raw', 'copy.raw');

    expect(first.toString()).toBe(`${content.length} bytes written\n`);
    expect(second.toString()).toBe(`${MIB} bytes written\n`);
    expect(readFileSync(folder.path('copy.raw')).equals(content)).toBe(true);
  });

  it('changes-to-ndjson lists changed blocks, and read-range reads one range', async () => {
    const content = noise(1, 2 * MIB);
    writeFileSync(folder.path('disk.raw'), content);
    await backup(folder.path('repository'), folder.path('disk.raw'));
    content.set(noise(2, 1000), MIB + 5);
    writeFileSync(folder.path('disk.raw'), content);
    await backup(folder.path('repository'), folder.path('disk.raw'));

    const lines = (await run('changes-to-ndjson.mjs', 'repository', VM)).toString();
    const range = await run('read-range.mjs', 'repository', VM, 'disk.raw', '1048570', '2000');

    const block = content.subarray(MIB, MIB + 256 * 1024);
    const sha256 = createHash('sha256').update(block).digest('hex');
    const change = { disk: 'disk.raw', kind: 'block', offsetBytes: MIB, sha256 };
    expect(lines).toBe(`${JSON.stringify(change)}\n`);
    expect(range).toEqual(content.subarray(1_048_570, 1_050_570));
  });

  it('own-stage stores equal blocks once', async () => {
    writeFileSync(folder.path('disk.raw'), blocks('ABA0A'));

    const printed = (await run('own-stage.mjs', 'disk.raw', 'store')).toString();

    const places = readFileSync(folder.path('store/places.json'), 'utf8');
    const hashes = (JSON.parse(places) as { hash: string }[]).map(({ hash }) => hash);
    expect(printed).toBe(`4 blocks, ${2 * BLOCK_BYTES} bytes stored\n`);
    expect(hashes.map((hash) => readFileSync(folder.path(`store/${hash}`)))).toEqual(
      ['A', 'B', 'A', 'A'].map((letter) => blocks(letter)),
    );
  });

  it('own-device backs a disk of its own up', async () => {
    const piece = Buffer.from(Array.from({ length: MIB }, (_, k) => k & 0xff));
    const whole = Buffer.concat([piece, Buffer.alloc(MIB), piece]);
    const digest = createHash('sha256').update(whole).digest('hex');

    expect((await run('own-device.mjs')).toString()).toBe(`${2 * MIB} ${MIB} ${digest}\n`);
  });
});
