/** Damaged containers: verify finds what is damaged, and restore never gives wrong bytes. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { BackupError, EXIT_CODES } from '../../src/core/errors.ts';
import { verifyRepository } from '../../src/sessions/verify/verifyRepository.ts';
import { runCli } from '../helpers/cli/cli.ts';
import { firstExtent, onlyFileOf } from '../helpers/repository/repositoryFiles.ts';
import { blocks, flipBit, sha256, sha256OfFile, writeImage } from '../helpers/bytes/images.ts';
import { noise, prose, createRandom } from '../helpers/bytes/random.ts';
import { longOr } from '../helpers/longForm.ts';
import { backup, restore } from '../helpers/repository/imageSessions.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const FLIPS = longOr(60, 15);
const SEED = 20_261_122;
const FIRST = Buffer.concat([blocks('AbC0dE'), prose(1, 5000)]);
const SECOND = Buffer.concat([blocks('AxC0yF'), noise(2, 5000)]);

let repository = '';
beforeEach(async () => {
  repository = temp.path('repo');
  const image = temp.path('a');
  await backup(repository, writeImage(image, FIRST));
  await backup(repository, writeImage(image, SECOND));
});

interface Outcome {
  readonly isDamageFound: boolean;
  /** Digest of the restored image. Undefined when the restore ended with an error. */
  readonly restored: string | undefined;
}

/** Verifies all points and restores the newest one. */
async function check(): Promise<Outcome> {
  const { damage } = await verifyRepository({ repository, point: 'all', workers: 0 });
  const restored = await restore(repository).then(
    (output) => sha256OfFile(path.join(output, 'a')),
    (error: unknown) => {
      if (error instanceof BackupError && !error.code.startsWith('INTERNAL')) return undefined;
      throw error;
    },
  );
  return { isDamageFound: damage.length > 0, restored };
}

/** One random bit in each of `FLIPS` equal parts of a file. */
function* flipsOf(file: string): Generator<{ readonly offsetBytes: number; readonly bit: number }> {
  const random = createRandom(SEED);
  const partBytes = readFileSync(file).length / FLIPS;
  for (let part = 0; part < FLIPS; part++) {
    const offsetBytes = Math.floor((part + random.fraction()) * partBytes);
    yield { offsetBytes, bit: random.below(8) };
  }
}

test.each(['.vbk', '.vib'])(
  'a flipped bit anywhere in a %s is found or changes nothing',
  async (suffix) => {
    const file = onlyFileOf(repository, suffix);
    const sound = readFileSync(file);
    let foundCount = 0;
    for (const { offsetBytes, bit } of flipsOf(file)) {
      flipBit(file, offsetBytes, bit);
      const { isDamageFound, restored } = await check();
      writeFileSync(file, sound);

      const where = `bit ${bit} at ${offsetBytes} B`;
      if (isDamageFound) foundCount++;
      else expect(restored, where).toBe(sha256(SECOND));
      expect([sha256(SECOND), undefined], where).toContain(restored);
    }
    expect(foundCount).toBeGreaterThan(FLIPS / 2);
  },
);

test('a container that was cut anywhere is found and never restored wrongly', async () => {
  const file = onlyFileOf(repository, '.vib');
  const sound = readFileSync(file);
  const random = createRandom(SEED);
  for (let round = 0; round < 20; round++) {
    truncateSync(file, random.below(sound.length));
    const { isDamageFound, restored } = await check();
    writeFileSync(file, sound);

    expect(isDamageFound).toBe(true);
    expect([sha256(SECOND), undefined]).toContain(restored);
  }
});

test('a sound repository has no damage to find', async () => {
  expect(await check()).toEqual({ isDamageFound: false, restored: sha256(SECOND) });
});

test('damage ends verify with its own exit code and names what is affected', async () => {
  const file = onlyFileOf(repository, '.vib');
  const { offsetBytes, blockId } = await firstExtent(file, 'plain');
  flipBit(file, offsetBytes);

  const result = await runCli(['verify', '--repo', repository, '--point', 'all', '--json']);

  expect(result.exitCode).toBe(EXIT_CODES.damageFound);
  const { damage } = JSON.parse(result.stdout) as { damage: { fileName: string }[] };
  expect(damage).toMatchObject([
    { fileName: path.basename(file), code: 'INTEGRITY_DIGEST_MISMATCH', blockId },
  ]);
});
