/** Compares the sparse disk of the lab with a plain array of bytes and plain sets of granules. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { KIB } from '../../src/core/units.ts';
import type { FrozenView, ViewExtent } from '../../lab/src/dataPlane.ts';
import { LabDiskState, LabStorage } from '../../lab/src/disks/labDisk.ts';

const G = 64 * KIB;
const MAX_BYTES = 5 * G + 1000;

/** Often at the edge of a granule, where mistakes are likely. */
const position = fc.oneof(
  fc.nat(MAX_BYTES),
  fc
    .tuple(fc.nat(5), fc.integer({ min: -1, max: 1 }))
    .map(([at, off]) => Math.max(0, at * G + off)),
);
const step = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    from: position,
    to: position,
    value: fc.nat(3),
  }),
  fc.record({ kind: fc.constant('zero' as const), from: position, to: position }),
  fc.record({ kind: fc.constant('resize' as const), to: position }),
  fc.record({ kind: fc.constant('checkpoint' as const) }),
  fc.record({ kind: fc.constant('remove' as const), at: fc.nat(3) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface Frozen {
  readonly view: FrozenView;
  readonly bytes: Buffer;
  /** For each bitmap: the dirty granules since its checkpoint. Other bitmaps do not matter. */
  readonly since: ReadonlyMap<string, ReadonlySet<number>>;
}

/** A disk and its model. Each bitmap of the model holds every change since its checkpoint. */
class Pair {
  readonly disk: LabDiskState = new LabDiskState({
    id: 'd',
    name: 'd',
    sizeBytes: MAX_BYTES,
    format: 'cow',
    storage: new LabStorage(0),
  });
  bytes: Buffer = Buffer.alloc(MAX_BYTES);
  readonly since = new Map<string, Set<number>>();
  readonly frozen: Frozen[] = [];

  apply(step: Step): void {
    if (step.kind === 'checkpoint') return this.#checkpoint();
    if (step.kind === 'resize') return this.#resize(Math.min(step.to, MAX_BYTES));
    if (step.kind === 'remove') return this.#remove(step.at);
    const [from = 0, to = 0] = [step.from, step.to]
      .map((at) => Math.min(at, this.bytes.length))
      .sort((a, b) => a - b);
    const value = step.kind === 'write' ? step.value : 0;
    if (step.kind === 'write') this.disk.write(from, Buffer.alloc(to - from, value));
    else this.disk.zero(from, to - from);
    this.bytes.fill(value, from, to);
    if (from === to) return;
    for (const dirty of this.since.values()) {
      for (let at = Math.floor(from / G); at < Math.ceil(to / G); at++) dirty.add(at);
    }
  }

  #checkpoint(): void {
    const since = new Map([...this.since].map(([name, dirty]) => [name, new Set(dirty)]));
    this.frozen.push({ view: this.disk.freeze(), bytes: Buffer.from(this.bytes), since });
    const name = `c${this.frozen.length}`;
    this.disk.addBitmap(name);
    this.since.set(name, new Set());
  }

  #resize(sizeBytes: number): void {
    this.disk.resize(sizeBytes);
    const grown = Buffer.alloc(sizeBytes);
    this.bytes.copy(grown);
    this.bytes = grown;
    for (const dirty of this.since.values()) {
      for (const at of dirty) if (at >= Math.ceil(sizeBytes / G)) dirty.delete(at);
    }
  }

  #remove(at: number): void {
    const name = [...this.since.keys()][at];
    if (name === undefined) return;
    this.disk.removeBitmap(name);
    this.since.delete(name);
  }
}

function assertContiguous(extents: readonly ViewExtent[], sizeBytes: number): void {
  let endBytes = 0;
  for (const { offsetBytes, lengthBytes } of extents) {
    expect(offsetBytes).toBe(endBytes);
    expect(lengthBytes).toBeGreaterThan(0);
    endBytes += lengthBytes;
  }
  expect(endBytes).toBe(sizeBytes);
}

function granulesWhere(
  extents: readonly ViewExtent[],
  isWanted: (extent: ViewExtent) => boolean | undefined,
): number[] {
  return extents
    .filter(isWanted)
    .flatMap(({ offsetBytes, lengthBytes }) =>
      Array.from({ length: Math.ceil(lengthBytes / G) }, (_, at) => offsetBytes / G + at),
    );
}

function dataGranules(bytes: Buffer): number[] {
  return Array.from({ length: Math.ceil(bytes.length / G) }, (_, at) => at).filter((at) =>
    bytes.subarray(at * G, (at + 1) * G).some((byte) => byte !== 0),
  );
}

function assertView({ view, bytes, since }: Frozen): void {
  expect(view.read(0, view.sizeBytes).equals(bytes)).toBe(true);
  const zero = view.extents(undefined);
  assertContiguous(zero, bytes.length);
  expect(granulesWhere(zero, (extent) => !extent.zero)).toEqual(dataGranules(bytes));
  const names = [...since.keys()];
  for (const [at, name] of names.entries()) {
    const extents = view.extents(names.slice(at));
    assertContiguous(extents, bytes.length);
    const expected = [...(since.get(name) ?? [])].sort((a, b) => a - b);
    expect(granulesWhere(extents, (extent) => extent.dirty)).toEqual(expected);
    expect(granulesWhere(extents, (extent) => !extent.zero)).toEqual(dataGranules(bytes));
  }
}

test('content, frozen views and the union of bitmaps are those of a plain model', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const pair = new Pair();
      for (const one of steps) pair.apply(one);
      pair.apply({ kind: 'checkpoint' });
      expect(pair.disk.read(0, pair.bytes.length).equals(pair.bytes)).toBe(true);
      for (const frozen of pair.frozen) assertView(frozen);
    }),
    { numRuns: 150 },
  );
});
