/** What clients are told of an overlay and the disk below it together. */
import { assert, asyncProperty, integer, array, constantFrom, nat, tuple } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OverlayExport, overlayBaseOf } from '../../../src/points/nbd/overlayExport.ts';
import { CLUSTER_BYTES } from '../../../src/points/overlay/clusterMap.ts';
import { OpenOverlay } from '../../../src/points/overlay/overlayFiles.ts';
import type { PointExtent } from '../../../src/points/pointTypes.ts';
import { MemoryDisk } from '../../helpers/nbd/memoryDisk.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const CLUSTERS = 8;
const SIZE_BYTES = CLUSTERS * CLUSTER_BYTES;

const folder = useTempFolder();

/** Extents of a disk of which each cluster is zeros or not. */
function extentsOf(clusters: readonly boolean[]): PointExtent[] {
  const found: PointExtent[] = [];
  for (const [k, zero] of clusters.entries()) {
    const last = found.at(-1);
    if (last?.zero !== zero) {
      found.push({ offsetBytes: k * CLUSTER_BYTES, lengthBytes: CLUSTER_BYTES, zero });
    } else found[found.length - 1] = { ...last, lengthBytes: last.lengthBytes + CLUSTER_BYTES };
  }
  return found;
}

describe('extents of a writable export', () => {
  it('are those of overlay and base, however few are asked for', async () => {
    const change = tuple(nat(CLUSTERS - 1), constantFrom('zero', 'write'));
    const isZero = array(constantFrom(true, false), { minLength: CLUSTERS, maxLength: CLUSTERS });
    let count = 0;
    const check = async (
      base: readonly boolean[],
      changes: readonly (readonly [number, string])[],
      most: number,
    ): Promise<void> => {
      const disk = new MemoryDisk('disk', Buffer.concat(base.map(clusterOf)));
      const opened = await OpenOverlay.open(overlayBaseOf(disk), {
        folder: folder.path(`overlay${count++}`),
        identity: { pointId: 'point', diskId: 'disk', sizeBytes: SIZE_BYTES },
      });
      const model = [...base];
      for (const [cluster, kind] of changes) {
        const at = cluster * CLUSTER_BYTES;
        if (kind === 'zero') await opened.overlay.zero(at, CLUSTER_BYTES);
        else await opened.overlay.write(at, clusterOf(false));
        model[cluster] = kind === 'zero';
      }
      const served = new OverlayExport(disk, opened.overlay, opened.folder);
      const range = { offsetBytes: 0, lengthBytes: SIZE_BYTES };

      expect(await served.extents(range)).toEqual(extentsOf(model));
      const few = await served.extents(range, most);
      expect(few.length).toBeGreaterThan(0);
      expect(few.length).toBeLessThanOrEqual(most);
      for (const { offsetBytes, lengthBytes, zero } of few) {
        const from = offsetBytes / CLUSTER_BYTES;
        const told = model.slice(from, from + Math.ceil(lengthBytes / CLUSTER_BYTES));
        expect(told.every((one) => one === zero)).toBe(true);
      }
      await opened.close();
    };
    await assert(
      asyncProperty(isZero, array(change, { maxLength: 4 }), integer({ min: 1, max: 4 }), check),
      { numRuns: 60 },
    );
  });
});

function clusterOf(zero: boolean): Buffer {
  return Buffer.alloc(CLUSTER_BYTES, zero ? 0 : 7);
}
