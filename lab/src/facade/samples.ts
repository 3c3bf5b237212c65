/**
 * Sample VMs. Their content is the same in every lab, and only a part of it can be compressed. Each
 * disk has a few MiB, spread over its size, so that extents, holes and increments can be seen.
 */
import { createHash } from 'node:crypto';
import { KIB, MIB } from '../units.ts';
import type { Lab, LabDisk, LabDiskSpec, LabVm, LabVmSpec } from '../types.ts';

const PIECE_BYTES: number = 256 * KIB;
const PIECES_PER_DISK = 12;
const LOG_LINE = '2024-05-01T12:00:00Z web01 httpd[4711]: GET /index.html 200 5120\n';

/** Bytes that no compressor shrinks. The same seed gives the same bytes. */
export function noise(seed: number, lengthBytes: number): Buffer {
  const words = new Uint32Array(lengthBytes / 4);
  let state = seed | 1;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return Buffer.from(words.buffer);
}

/** Noise for every third seed, otherwise log lines. */
function piece(seed: number): Buffer {
  if (seed % 3 === 0) return noise(seed * 7919, PIECE_BYTES);
  return Buffer.alloc(PIECE_BYTES, `${seed} ${LOG_LINE}`);
}

function fill(disk: LabDisk, seed: number): void {
  const strideBytes = Math.floor(disk.sizeBytes / PIECES_PER_DISK / PIECE_BYTES) * PIECE_BYTES;
  for (let index = 0; index < PIECES_PER_DISK; index++) {
    // Pieces touch in pairs, so that some extents are longer.
    const offsetBytes = index * strideBytes + (index % 2 === 0 ? strideBytes - PIECE_BYTES : 0);
    disk.write(offsetBytes, piece(seed + index));
  }
}

/** The same UUID for the same name. */
function idOf(kind: 'vm' | 'disk', name: string): string {
  const hex = createHash('sha256').update(`ovirt-cbt-lab ${kind} ${name}`).digest('hex');
  // Version 4, as the engine makes them. The product knows images of a repository by version 8.
  return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-4$3-8$4-$5');
}

/** A sample VM. Its ids are the same in every lab, so that a repository knows it again. */
function sample(spec: LabVmSpec): LabVmSpec {
  const disks = spec.disks.map((disk): LabDiskSpec => ({ ...disk, id: idOf('disk', disk.name) }));
  return { ...spec, id: idOf('vm', spec.name), disks };
}

function fillAll(vm: LabVm, seed: number): void {
  for (const [index, disk] of vm.disks.entries()) fill(disk, seed + index * 100);
}

/**
 * Adds `web01`, `db01`, `files01` and `old01`: VMs that are up or down, with tracked, raw, shared
 * and LUN disks, of compatibility 4.7 and 4.6. Ids of VMs and disks are the same in every lab.
 */
export function addSampleVms(lab: Lab): void {
  const web = lab.addVm(
    sample({
      name: 'web01',
      nics: ['nic1'],
      disks: [
        { name: 'web01_root', sizeBytes: 256 * MIB, bootable: true },
        { name: 'web01_data', sizeBytes: 512 * MIB },
        { name: 'web01_scratch', sizeBytes: 128 * MIB, format: 'raw' },
      ],
    }),
  );
  const db = lab.addVm(
    sample({
      name: 'db01',
      compatibility: [4, 6],
      nics: ['nic1', 'nic2'],
      disks: [
        { name: 'db01_root', sizeBytes: 256 * MIB, bootable: true },
        { name: 'db01_redo', sizeBytes: 192 * MIB, format: 'raw' },
      ],
    }),
  );
  const files = lab.addVm(
    sample({
      name: 'files01',
      nics: ['nic1'],
      disks: [
        { name: 'files01_root', sizeBytes: 256 * MIB, bootable: true },
        { name: 'files01_lun', sizeBytes: 128 * MIB, format: 'raw', storageType: 'lun' },
        { name: 'files01_shared', sizeBytes: 128 * MIB, format: 'raw', shareable: true },
      ],
    }),
  );
  const old = lab.addVm(
    sample({
      name: 'old01',
      status: 'down',
      nics: ['nic1'],
      disks: [{ name: 'old01_root', sizeBytes: 128 * MIB, format: 'raw', bootable: true }],
    }),
  );
  for (const [index, vm] of [web, db, files, old].entries()) fillAll(vm, 1000 * (index + 1));
}
