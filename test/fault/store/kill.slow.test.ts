/**
 * Commands that are killed at any of their requests, before the server saw it or after it did its
 * work. The next session works, and no point is lost.
 */
import { expect, test } from 'vitest';
import { backupArgs, type CliResult, startCli } from '../../helpers/cli/cli.ts';
import { BLOCK_BYTES, MIB } from '../../helpers/bytes/images.ts';
import { createRandom, noise } from '../../helpers/bytes/random.ts';
import { writeKeyFile } from '../../helpers/keyFile.ts';
import { longOr } from '../../helpers/longForm.ts';
import { VM } from '../../helpers/repository/imageSessions.ts';
import { ImageChain } from '../../helpers/s3/imageChain.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const SEED = 20_261_129;
const LIMIT_MS = 1_800_000;

const temp = useTempFolder();
const s3 = useS3();

/** Twelve MiB, so that an increment of half of them has several parts. */
function content(seed: number): Buffer {
  return Buffer.concat([noise(seed, 9 * MIB), noise(1, 3 * MIB)]);
}

/** Runs a command. @returns the number of its requests */
async function requestsOf(args: readonly string[]): Promise<number> {
  s3.proxy.arm();
  const { exitCode, stderr } = await startCli(args).ended;
  expect(exitCode, stderr).toBe(0);
  return s3.proxy.requests.length;
}

/** Runs a command and kills it at its request `nth`, when it makes so many. */
async function killAt(
  args: readonly string[],
  nth: number,
  moment: 'holdBefore' | 'holdAfter',
): Promise<CliResult> {
  let kill: (() => void) | undefined;
  s3.proxy.arm(
    (request) => (request.nth === nth ? moment : undefined),
    () => kill?.(),
  );
  const { child, ended } = startCli(args);
  kill = () => child.kill('SIGKILL');
  const result = await ended;
  s3.proxy.arm();
  return result;
}

test.each([
  ['open', longOr(70, 4)],
  ['sealed', longOr(30, 2)],
] as const)(
  'sessions that are killed leave nothing that stops the next one (%s repository)',
  async (kind, kills) => {
    const keyFile = temp.path('key');
    writeKeyFile(keyFile);
    const store = kind === 'sealed' ? { keyFile } : undefined;
    const chain = new ImageChain({ repository: s3.repository, store }, temp.path());
    const sealing = store ? ['--key-file', keyFile] : [];
    const args = backupArgs(s3.repository, chain.imageFile, '--workers', '0', ...sealing);
    const random = createRandom(SEED);
    await chain.session(content(0));
    chain.prepare(content(99));
    const requests = await requestsOf(args);
    let killed = 0;

    for (let k = 0; k < kills; k++) {
      chain.prepare(content(k + 1));
      const nth = 1 + random.below(requests);
      const { signal } = await killAt(args, nth, k % 2 === 0 ? 'holdBefore' : 'holdAfter');
      if (signal === 'SIGKILL') killed++;
      await chain.session(content(k + 1));
      if (k % 5 === 4) await chain.prune(3);
      await chain.checkNewest();
    }

    await chain.check((await chain.pointIds()).slice(-1));
    await s3.expectNoStrays();
    console.log(`${kind}: ${requests} requests a session, ${killed} of ${kills} killed`);
    expect(killed).toBeGreaterThanOrEqual(kills / 2);
  },
  LIMIT_MS,
);

test(
  'a prune that is killed again and again loses no kept point, and in the end it is done',
  async () => {
    const chain = new ImageChain({ repository: s3.repository }, temp.path());
    for (let k = 0; k < 5; k++) await chain.session(noise(k, 3 * BLOCK_BYTES));
    const kept = chain.knownIds.slice(-2);
    const args = ['prune', '--repo', s3.repository, '--vm', VM, '--keep-last', '2'];
    args.push('--workers', '0');
    let kills = 0;

    // Each run goes on where the one before was killed, and is killed a little later.
    for (let nth = 1; ; nth += longOr(1, 5)) {
      const result = await killAt(args, nth, nth % 4 < 2 ? 'holdBefore' : 'holdAfter');
      await chain.check(kept);
      if (result.signal === null) {
        expect(result.exitCode, result.stderr).toBe(0);
        break;
      }
      kills++;
    }

    expect(await chain.pointIds()).toEqual(kept);
    await s3.expectNoStrays();
    console.log(`a prune was killed ${kills} times`);
    expect(kills).toBeGreaterThan(3);
  },
  LIMIT_MS,
);
