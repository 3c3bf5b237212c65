/**
 * A writable export is killed while clients write. What was flushed is there, and no byte is one
 * that nobody wrote.
 */
import { existsSync, readFileSync, unlinkSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { COMMAND } from '../../src/points/nbd/protocol.ts';
import { writeImage } from '../helpers/bytes/images.ts';
import { createRandom, noise, type Random } from '../helpers/bytes/random.ts';
import { type RunningCli, startCli, until } from '../helpers/cli/cli.ts';
import { longOr } from '../helpers/longForm.ts';
import { RawClient } from '../helpers/nbd/rawClient.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const folder = useTempFolder();
const SEED = 20_261_129;
const KILLS = longOr(12, 5);
const UNIT_BYTES = 4096;
const UNITS = 1024;
/** Whole clusters, which are zeroed without bytes. */
const CLUSTER_UNITS = 16;
const ZEROS = Buffer.alloc(UNIT_BYTES);

/** Contents that a unit may have after a kill. The first was flushed, or is that of the point. */
type Candidates = Map<number, Buffer[]>;

async function start(): Promise<RunningCli> {
  const socket = folder.path('s');
  if (existsSync(socket)) unlinkSync(socket);
  const place = ['--repo', folder.path('repository'), '--vm', VM, '--socket', socket];
  const running = startCli(['export', ...place, '--writable', folder.path('o'), '--keep']);
  onTestFinished(() => void running.child.kill('SIGKILL'));
  let output = '';
  running.child.stdout?.on('data', (text: string) => (output += text));
  await until(running, () => output.includes('nbd+unix'));
  return running;
}

async function openClient(): Promise<RawClient> {
  return await RawClient.open({ path: folder.path('s') });
}

/** Writes and flushes until the server is gone. */
async function write(client: RawClient, random: Random, units: Candidates): Promise<void> {
  for (let k = 0; ; k++) {
    const isZero = random.below(4) === 0;
    const count = isZero ? CLUSTER_UNITS : 1 + random.below(3);
    const first = Math.floor(random.below(UNITS - 32) / count) * count;
    const bytes = isZero ? Buffer.alloc(count * UNIT_BYTES) : random.bytes(count * UNIT_BYTES);
    for (let unit = 0; unit < count; unit++) {
      const content = bytes.subarray(unit * UNIT_BYTES, (unit + 1) * UNIT_BYTES);
      units.get(first + unit)?.push(content);
    }
    const range = { offset: first * UNIT_BYTES, length: bytes.length };
    if (isZero) await client.request({ command: COMMAND.writeZeroes, ...range });
    else await client.write(range.offset, bytes);
    if (k % 10 < 9) continue;
    const last = [...units].map(([unit, contents]) => [unit, contents.at(-1)] as const);
    await client.request({ command: COMMAND.flush });
    for (const [unit, content] of last) if (content) units.set(unit, [content]);
  }
}

async function check(units: Candidates): Promise<void> {
  const client = await openClient();
  for (const [unit, contents] of units) {
    const { error, bytes } = await client.read(unit * UNIT_BYTES, UNIT_BYTES);
    expect(error).toBe(0);
    const found = contents.findIndex((content) => content.equals(bytes));
    expect(found, `unit ${unit} has what nobody wrote`).toBeGreaterThanOrEqual(0);
    units.set(unit, [Buffer.from(bytes)]);
  }
  client.destroy();
}

test('a killed export loses nothing that was flushed, and gives no garbage', async () => {
  const random = createRandom(SEED);
  const content = Buffer.concat([
    noise('base', (UNITS * UNIT_BYTES) / 2),
    Buffer.alloc((UNITS * UNIT_BYTES) / 2),
  ]);
  await backup(folder.path('repository'), writeImage(folder.path('disk.raw'), content));
  const units: Candidates = new Map(
    Array.from({ length: UNITS }, (_, unit) => [
      unit,
      [content.subarray(unit * UNIT_BYTES, (unit + 1) * UNIT_BYTES)],
    ]),
  );
  let running = await start();
  for (let kill = 0; kill < KILLS; kill++) {
    const client = await openClient();
    const writing = write(client, random, units).catch(() => {});
    await wait(random.below(250));
    running.child.kill('SIGKILL');
    await running.ended;
    await writing;
    client.destroy();
    running = await start();
    await check(units);
  }
  running.child.kill('SIGINT');
  const { exitCode, stdout } = await running.ended;

  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/disk\.raw: .* changed, kept in /);
  expect([...units.values()].some(([one]) => one?.equals(ZEROS) === false)).toBe(true);
  expect(readFileSync(folder.path('disk.raw')).equals(content)).toBe(true);
}, 300_000);
