/** Small sealed files, whole ones and lines: what is read back, and what forgery meets. */
import { describe, expect, it } from 'vitest';
import { BackupError } from '../../../../src/core/errors.ts';
import { HEADER_BYTES } from '../../../../src/store/seal/sealFormat.ts';
import { noise } from '../../../helpers/bytes/random.ts';
import { expectCode } from '../../../helpers/codes.ts';
import {
  FOLDER_NAME,
  type SealedPair,
  sealedPair,
  underFolderName,
} from '../../../helpers/repository/sealedStores.ts';

const NAME = 'web.vbm';
const MAX_BYTES = 1024 * 1024;
const SECRET = 'the plain words of a file';

async function pairWith(content: string | Uint8Array = SECRET): Promise<SealedPair> {
  const pair = sealedPair();
  await pair.sealed.writeFile(NAME, content);
  return pair;
}

/** Reads must fail with an error of the two families, whatever was done to the file. */
async function expectRefused(pair: SealedPair, bytes: Uint8Array, name = NAME): Promise<void> {
  pair.base.put(name, bytes);
  const error = await pair.sealed.readFile(name, MAX_BYTES).then(
    (plain) => expect.unreachable(`read ${plain?.length} B`),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(BackupError);
  expect((error as BackupError).code).toMatch(/^(?:INTEGRITY_SEAL_BROKEN|FORMAT_\w+)$/);
}

async function textOf({ sealed }: SealedPair): Promise<string | undefined> {
  return (await sealed.readFile(NAME, MAX_BYTES))?.toString();
}

describe('a small sealed file', () => {
  it.each([0, 1, 4095, 4096, 4097, 69_632, 69_633, 300_000])(
    'of %d B is read back',
    async (size) => {
      const content = noise(size, size);
      const { sealed } = await pairWith(content);

      expect(await sealed.readFile(NAME, MAX_BYTES)).toEqual(content);
      expect((await sealed.facts([NAME])).get(NAME)?.sizeBytes).toBe(size);
    },
  );

  it('shows none of its bytes', async () => {
    const { base } = await pairWith();

    expect(base.contentOf(NAME).includes('plain')).toBe(false);
  });

  it('has other bytes each time it is written', async () => {
    const { base, sealed } = await pairWith();
    const before = base.contentOf(NAME);
    await sealed.writeFile(NAME, SECRET);

    expect(base.contentOf(NAME).subarray(HEADER_BYTES)).not.toEqual(before.subarray(HEADER_BYTES));
  });

  it('is absent when there is none', async () => {
    const { sealed } = sealedPair();

    expect(await sealed.readFile('none', MAX_BYTES)).toBeUndefined();
    expect(await sealed.touch('none', SECRET)).toBe(false);
  });

  it('can be created once, written by several, and touched', async () => {
    const { sealed } = sealedPair();

    expect(await sealed.createFile('lease', 'one')).toBe(true);
    expect(await sealed.createFile('lease', 'two')).toBe(false);
    await sealed.writeShared('lease', 'three');
    expect(await sealed.touch('lease', 'three')).toBe(true);
    expect((await sealed.readFile('lease', MAX_BYTES))?.toString()).toBe('three');
  });

  it('is refused with any byte flipped', async () => {
    const pair = await pairWith(noise(1, 150));
    const good = pair.base.contentOf(NAME);
    for (let at = 0; at < good.length; at++) {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] ?? 0) ^ (1 << (at % 8));
      await expectRefused(pair, bad);
    }
    pair.base.put(NAME, good);
    expect(await pair.sealed.readFile(NAME, MAX_BYTES)).toHaveLength(150);
  });

  it('is refused at every other length', async () => {
    const pair = await pairWith(noise(1, 4096 + 100));
    const good = pair.base.contentOf(NAME);
    for (let length = 0; length < good.length; length++) {
      await expectRefused(pair, good.subarray(0, length));
    }
    for (const more of [1, 28, 29, 4096, 65_564, 200_000]) {
      await expectRefused(pair, Buffer.concat([good, Buffer.alloc(more)]));
    }
  });

  it('is refused under another name and in another folder', async () => {
    const pair = await pairWith();
    await expectRefused(pair, pair.base.contentOf(NAME), 'db.vbm');
    const elsewhere = underFolderName(pair, `${FOLDER_NAME}1`);

    await expectCode(elsewhere.readFile(NAME, MAX_BYTES), 'INTEGRITY_SEAL_BROKEN');
  });

  it('is refused when it is not sealed at all', async () => {
    const pair = sealedPair();

    await expectRefused(pair, Buffer.from(`<xml>${'forged '.repeat(100)}</xml>`));
    await expectRefused(pair, Buffer.alloc(0));
  });

  it('is refused with the keys of another repository', async () => {
    const pair = await pairWith();
    const other = sealedPair();
    other.base.put(NAME, pair.base.contentOf(NAME));

    await expectCode(other.sealed.readFile(NAME, MAX_BYTES), 'INTEGRITY_SEAL_BROKEN');
  });

  it('may have as many bytes as the reader allows, and no more', async () => {
    const { sealed } = await pairWith(noise(1, 5000));

    expect(await sealed.readFile(NAME, 5000)).toHaveLength(5000);
    await expectCode(sealed.readFile(NAME, 4999), 'REPOSITORY_METADATA_INVALID');
    await expectCode(sealed.readFile(NAME, 10), 'REPOSITORY_METADATA_INVALID');
  });
});

describe('a sealed file of lines', () => {
  const LINES = ['{"step":"session"}\n', '{"step":"backup-starting"}\n', '{}\n'];

  async function lines(): Promise<SealedPair> {
    const pair = sealedPair();
    const file = await pair.sealed.startLines(NAME, LINES.slice(0, 1));
    await file.append(LINES[1] ?? '', true);
    await file.append(LINES[2] ?? '', false);
    await file.close();
    return pair;
  }

  it('is read back', async () => {
    const pair = await lines();

    expect(await textOf(pair)).toBe(LINES.join(''));
    expect(pair.base.contentOf(NAME).includes('session')).toBe(false);
  });

  it('is replaced when it is started again', async () => {
    const pair = await lines();
    await pair.sealed.startLines(NAME, []);

    expect(await textOf(pair)).toBe('');
  });

  it('without a line is refused under another name', async () => {
    const pair = sealedPair();
    await pair.sealed.startLines(NAME, []);

    expect(await textOf(pair)).toBe('');
    await expectRefused(pair, pair.base.contentOf(NAME), 'other.ndjson');
  });

  it('leaves a last line out that a crash cut', async () => {
    const pair = await lines();
    pair.base.put(NAME, pair.base.contentOf(NAME).subarray(0, -5));

    expect(await textOf(pair)).toBe(LINES.slice(0, 2).join(''));
  });

  it('gives true lines or none with any byte flipped', async () => {
    const pair = await lines();
    const good = pair.base.contentOf(NAME);
    for (let at = 0; at < good.length; at++) {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] ?? 0) ^ (1 << (at % 7));
      if (at < good.length - 1) await expectRefused(pair, bad);
    }
    // Without its newline the last line counts as cut.
    pair.base.put(NAME, Buffer.concat([good.subarray(0, -1), Buffer.from('x')]));
    expect(await textOf(pair)).toBe(LINES.slice(0, 2).join(''));
  });

  it('is refused with lines in another order, doubled, left out, or of another file', async () => {
    const pair = await lines();
    const good = pair.base.contentOf(NAME).toString().split('\n');
    const [head = '', one = '', two = '', three = ''] = good;
    const other = (await lines()).base.contentOf(NAME).toString().split('\n');
    const orders = [
      [head, two, one, three],
      [head, one, one, two],
      [head, two, three],
      [head, other[1] ?? '', two],
      [one, two],
    ];
    for (const order of orders) {
      await expectRefused(pair, Buffer.from(`${order.join('\n')}\n`));
    }
  });
});
