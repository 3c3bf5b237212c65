/**
 * Changes containers. After most changes the checksums are computed again, so that the reader sees
 * the work of a forger: wrong counts, links, places and sizes.
 */
import { PAGE_BYTES } from '../../src/container/format/layout.ts';
import type { SnapshotSlot } from '../../src/container/format/snapshotSlots.ts';
import { Forgery } from '../helpers/bytes/forgery.ts';
import type { Random } from '../helpers/bytes/random.ts';
import { interestingNumber, mutateBytes, pick } from './mutate.ts';

/**
 * Sizes of the records in vectors, and the offsets of their fields: links, counts, sizes and ids.
 */
const RECORDS: readonly (readonly [number, readonly number[]])[] = [
  [8, [0]],
  [192, [0, 4, 8, 0x88, 0x94, 0x98, 0x9c, 0xa0, 0xa8, 0xb0, 0xb8]],
  [24, [0, 8, 16]],
  [46, [0, 4, 5, 0x15]],
  [53, [0, 4, 5, 0x15, 0x1d]],
  [60, [0, 1, 5, 0x0d, 0x11, 0x12, 0x22, 0x24, 0x28]],
  [20, [0, 8]],
  [32, [0, 8, 24]],
];

function pagesOf(slot: SnapshotSlot): number {
  const [bank] = slot.banks;
  return bank ? Math.min(1024, Math.floor(bank.sizeBytes / PAGE_BYTES) - 2) : 0;
}

/** A page in use: a root, or a page with a non-zero byte. */
function somePage(random: Random, forgery: Forgery): number {
  const { directoryRoot, storeRoot, freeRoot, dedupRoot } = forgery.roots;
  const length = Math.max(0, pagesOf(forgery.slot));
  const used = Array.from({ length }, (_, page) => page).filter((page) =>
    forgery.page(page).some((byte) => byte !== 0),
  );
  if (used.length === 0) return 0;
  const roots = [directoryRoot, storeRoot, freeRoot, dedupRoot].filter((root) =>
    used.includes(root),
  );
  return random.below(4) === 0 && roots.length > 0 ? pick(random, roots) : pick(random, used);
}

/** Changes a page if it is inside the file. After a bank was moved it may be outside. */
function editPage(forgery: Forgery, pageId: number, edit: (page: Buffer) => void): void {
  forgery.editPage(pageId, (page) => {
    if (page.length === PAGE_BYTES) edit(page);
  });
}

/**
 * Gives a field of a record another number. Links get the id of a page, often of their own page.
 */
function editField(random: Random, forgery: Forgery, pageId: number, otherId: number): void {
  const [recordBytes, fields] = pick(random, RECORDS);
  const perPage = Math.floor(PAGE_BYTES / recordBytes);
  const index = random.below(2) === 0 ? random.below(4) : random.below(perPage);
  const at = Math.min(PAGE_BYTES - 8, (index % perPage) * recordBytes + pick(random, fields));
  const value = pick(random, [interestingNumber(random), BigInt(otherId), BigInt(pageId)]);
  const width = random.below(3);
  editPage(forgery, pageId, (page) => {
    if (width === 0) page.writeUInt8(Number(value % 256n), at);
    else if (width === 1) page.writeUInt32LE(Number(value % 2n ** 32n), at);
    else page.writeBigUInt64LE(value, at);
  });
}

function editPages(random: Random, forgery: Forgery): void {
  const [pageId, otherId] = [somePage(random, forgery), somePage(random, forgery)];
  const other = Buffer.from(forgery.page(otherId));
  switch (random.below(8)) {
    case 0:
      editPage(forgery, pageId, (page) => other.copy(page));
      return;
    case 1:
      editPage(forgery, pageId, (page) => mutateBytes(random, page).copy(page));
      return;
    case 2:
      // Every link of a table of pages names the same page.
      editPage(forgery, pageId, (page) => {
        for (let at = 16; at + 8 <= PAGE_BYTES; at += 8) page.writeBigUInt64LE(BigInt(otherId), at);
      });
      return;
    default:
      editField(random, forgery, pageId, otherId);
  }
}

const ROOTS = [
  'directoryRoot',
  'directoryCount',
  'storeRoot',
  'storeCount',
  'freeRoot',
  'dedupRoot',
] as const;

/** A number that fits a slot field: at most the largest safe integer. */
function slotNumber(random: Random): number {
  const value = interestingNumber(random);
  return Number(value > 2n ** 53n - 1n ? 2n ** 53n - 1n : value);
}

function editSlots(random: Random, forgery: Forgery): void {
  const value = slotNumber(random);
  const isRoot = random.below(3) > 0;
  if (isRoot) {
    forgery.editRoots({ [pick(random, ROOTS)]: value });
    return;
  }
  const [bank] = forgery.slot.banks;
  if (!bank) return;
  forgery.editSlots((slot) => {
    if (value % 2 === 0) return { ...slot, endOfFileBytes: value };
    if (value % 3 === 0) return { ...slot, banks: [...slot.banks, bank, bank] };
    return { ...slot, banks: [{ ...bank, sizeBytes: value % 2 ** 32 }] };
  });
}

/** A forged container. Usually its checksums are right. */
export function mutateContainer(random: Random, input: Buffer): Buffer {
  if (random.below(5) === 0) return mutateBytes(random, input);
  let forgery: Forgery;
  try {
    forgery = new Forgery(input);
  } catch {
    return mutateBytes(random, input);
  }
  for (let k = random.below(3); k >= 0; k--) {
    if (random.below(6) === 0) editSlots(random, forgery);
    else editPages(random, forgery);
  }
  return Buffer.from(forgery.seal().content);
}
