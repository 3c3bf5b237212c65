import { beforeAll, describe, expect, it } from 'vitest';
import { ContainerReader } from '../../../src/container/read/containerReader.ts';
import { PAGE_BYTES, slotOffsetOf } from '../../../src/container/format/layout.ts';
import { BackupError } from '../../../src/core/errors.ts';
import { expectCode } from '../../helpers/errors.ts';
import { Forgery } from '../../helpers/forge.ts';
import { MemoryStorage } from '../../helpers/memoryStorage.ts';
import { createRandom, noise, prose } from '../../helpers/random.ts';
import { contentsOf, fileOf, incrementOf, openBytes, writeContainer } from '../../helpers/vbk.ts';

const BLOCK = 16_384;
let sound: Buffer;
let truth: string[];
let forgery: Forgery;

beforeAll(async () => {
  const properties = [{ name: 'LogicalSectorSize', type: 'UInt64', value: 512n }] as const;
  const content = Buffer.concat([
    prose(1, BLOCK),
    noise(2, BLOCK),
    Buffer.alloc(BLOCK),
    noise(3, 9),
  ]);
  const storage = await writeContainer({
    blockSizeBytes: BLOCK,
    disks: [
      { ...fileOf('disk', content, BLOCK), properties },
      incrementOf('changes', 9 * BLOCK, [
        [1, prose(4, BLOCK)],
        [8, Buffer.alloc(BLOCK)],
      ]),
    ],
  });
  sound = storage.content;
  truth = await contentsOf(storage);
  forgery = new Forgery(sound);
});

/**
 * Reads everything and says what came out: the sound content, a typed error, or anything else,
 * which is a failure.
 */
async function outcomeOf(content: Buffer): Promise<string> {
  try {
    const lines = await contentsOf(new MemoryStorage(content));
    return lines.join('\n') === truth.join('\n') ? 'sound' : 'WRONG CONTENT';
  } catch (error) {
    return error instanceof BackupError ? error.code : `CRASH: ${String(error)}`;
  }
}

const TYPED = /^(sound|(FORMAT|INTEGRITY)_[A-Z_]+)$/;

function flipped(...bits: readonly (readonly [number, number])[]): Buffer {
  const content = Buffer.from(sound);
  for (const [at, bit] of bits) content[at] = (content[at] ?? 0) ^ (1 << bit);
  return content;
}

/** Ranges of the file, by content. */
function regions(): Record<string, [number, number]> {
  const [bank] = forgery.slot.banks;
  const dataStart = slotOffsetOf(0, 2);
  const [first, second] = [
    bank?.offsetBytes ?? 0,
    (bank?.offsetBytes ?? 0) + (bank?.sizeBytes ?? 0),
  ];
  return {
    header: [0, 0x140],
    'slot 1': [slotOffsetOf(0, 0), slotOffsetOf(0, 1)],
    'slot 2': [slotOffsetOf(0, 1), dataStart],
    data: [dataStart, first],
    'bank copy 1': [first, second],
    'bank copy 2': [second, sound.length],
  };
}

const REGIONS = ['header', 'slot 1', 'slot 2', 'data', 'bank copy 1', 'bank copy 2'];

describe('one flipped bit', () => {
  it.each(REGIONS)('in the %s never gives wrong content', async (region) => {
    const [from, to] = regions()[region] ?? [0, 0];
    const random = createRandom(from + 1);

    for (let k = 0; k < 150; k++) {
      const place = [from + random.below(to - from), random.below(8)] as const;
      expect(await outcomeOf(flipped(place)), `bit ${place[1]} of byte ${place[0]}`).toMatch(TYPED);
    }
  });

  it('in any byte of the header fields never gives wrong content', async () => {
    for (const at of [...Array(16).keys(), ...Array.from({ length: 9 }, (_, k) => 0x107 + k)]) {
      for (let bit = 0; bit < 8; bit++) {
        expect(await outcomeOf(flipped([at, bit])), `bit ${bit} of byte ${at}`).toMatch(TYPED);
      }
    }
  });

  it.each(['slot 1', 'slot 2', 'bank copy 1', 'bank copy 2'])(
    'in the %s leaves the content readable from the other copy',
    async (region) => {
      const [from] = regions()[region] ?? [0, 0];

      for (const at of [0, 9, 0x1d, 0x7d]) {
        expect(await outcomeOf(flipped([from + at, 3])), `byte ${at}`).toBe('sound');
      }
    },
  );

  it('in stored bytes is noticed (control of the checks above)', async () => {
    const outcomes = [await outcomeOf(sound), await outcomeOf(flipped([slotOffsetOf(0, 2), 0]))];

    expect(outcomes).toEqual(['sound', 'INTEGRITY_DECODE_FAILED']);
  });
});

describe('two flipped bits', () => {
  it.each([
    ['both slots', ['slot 1', 'slot 2']],
    ['both copies of a bank', ['bank copy 1', 'bank copy 2']],
    ['slot 1 and the copy of slot 2', ['slot 1', 'bank copy 2']],
  ])('in %s give a typed error', async (_what, [first, second]) => {
    const [a] = regions()[first ?? ''] ?? [0];
    const [b] = regions()[second ?? ''] ?? [0];

    await expectCode(openBytes(flipped([a + 0x1d, 1], [b + 0x1d, 1])), 'INTEGRITY_CRC_MISMATCH');
  });

  it('in slot 2 and its bank copy leave slot 1 readable', async () => {
    const [a] = regions()['slot 2'] ?? [0];
    const [b] = regions()['bank copy 2'] ?? [0];

    expect(await outcomeOf(flipped([a + 0x1d, 1], [b + 0x1d, 1]))).toBe('sound');
  });
});

describe('masked bits', () => {
  it('of the magic of an LZ4 block may differ', async () => {
    const at = slotOffsetOf(0, 2) + 3;

    expect(await outcomeOf(flipped([at, 0], [at, 1], [at, 2]))).toBe('sound');
  });
});

describe('truncated file', () => {
  it('is refused at every page boundary and at odd lengths', async () => {
    const random = createRandom(11);
    const lengths = [0, 1, 4095, 4096, 4097, sound.length - 1, sound.length - PAGE_BYTES];
    for (let at = 0; at < sound.length; at += PAGE_BYTES) lengths.push(at);
    for (let k = 0; k < 30; k++) lengths.push(random.below(sound.length));

    for (const length of lengths) {
      const outcome = await outcomeOf(sound.subarray(0, length));
      expect(outcome, `${length} B`).toMatch(/^(FORMAT|INTEGRITY)_/);
    }
  });

  it('is refused as truncated in front of its data', async () => {
    await expectCode(openBytes(sound.subarray(0, slotOffsetOf(0, 2) - 1)), 'FORMAT_TRUNCATED');
  });

  it('may have an uncommitted tail', async () => {
    expect(await outcomeOf(Buffer.concat([sound, noise(1, 5000)]))).toBe('sound');
  });
});

describe('reported damage', () => {
  it('is empty for a sound container', async () => {
    expect((await openBytes(sound)).snapshot.damage).toEqual([]);
  });

  it('names the bank of the slot in use and the twin takes its place', async () => {
    const [from] = regions()['bank copy 1'] ?? [0];
    const reader = await openBytes(flipped([from + 2 * PAGE_BYTES, 0]));

    expect(reader.snapshot.slotNumber).toBe(1);
    expect(reader.snapshot.damage).toHaveLength(1);
    expect(reader.snapshot.damage[0]).toContain('slot 1 bank 0');
  });

  it('names a damaged slot', async () => {
    const { snapshot } = await openBytes(flipped([slotOffsetOf(0, 0) + 8, 0]));

    expect(snapshot.slotNumber).toBe(2);
    expect(snapshot.damage).toHaveLength(1);
    expect(snapshot.slots.map((slot) => slot.state)).toEqual(['bad checksum', 'valid']);
  });

  it('comes with the older snapshot when every copy of the newer one is lost', async () => {
    const older = new Forgery(sound).editSlots((slot) => ({ ...slot, version: 5 })).seal();
    const forged = new Forgery(older.content).editSlots((slot) => {
      const isSecond = slot.banks[0]?.offsetBytes === regions()['bank copy 2']?.[0];
      return isSecond ? { ...slot, version: 6 } : slot;
    });
    const content = forged.seal().content;
    const at = regions()['bank copy 2']?.[0] ?? 0;
    content[at + PAGE_BYTES] = 0x55;

    const { snapshot } = await openBytes(content);

    expect([snapshot.slot.version, snapshot.slotNumber]).toEqual([5, 1]);
    expect(snapshot.damage[0]).toContain('slot 2 bank 0');
  });

  it('does not keep the file open when there is no snapshot', async () => {
    const storage = new MemoryStorage(sound.subarray(0, 5000));

    await expectCode(ContainerReader.open(storage), 'FORMAT_TRUNCATED');

    expect(storage.isClosed).toBe(true);
  });
});
