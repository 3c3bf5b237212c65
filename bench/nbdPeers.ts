/** Peers that read through QEMU's NBD server: virtnbdbackup and nbdcopy. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { retry } from '../src/core/retry.ts';
import { fileCase, type Peer, sizeOf } from './peers.ts';
import { digestFile, programCase, removeAll, runPlain } from './programs.ts';
import type { BenchCase, Setting } from './suite.ts';

/** The restored image has the name of the disk. */
const DOMAIN_DISK = 'domain.qcow2';

/**
 * Defines a domain of libvirt's own test driver that is off. Its disk is a qcow2 copy of the image.
 */
async function defineDomain(folder: string, disk: string): Promise<string> {
  const file = path.join(folder, 'node.xml');
  const source = `<driver name="qemu" type="qcow2"/><source file="${disk}"/>`;
  const xml = `<node><domain type="test"><name>bench</name><memory>65536</memory><os><type>hvm</type></os>
<test:runstate xmlns:test="http://libvirt.org/schemas/domain/test/1.0">5</test:runstate>
<devices><disk type="file" device="disk">${source}<target dev="vda" bus="virtio"/></disk></devices>
</domain></node>`;
  await writeFile(file, xml);
  return `test://${file}`;
}

async function virtnbdbackupCase(setting: Setting): Promise<BenchCase> {
  const { folder, image } = setting;
  const [disk, out] = [path.join(folder, DOMAIN_DISK), path.join(folder, 'peer.vnb')];
  runPlain({ command: ['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', image, disk] });
  const uri = await defineDomain(folder, disk);
  const where = ['-o', out, '-f', path.join(folder, 'vnb.socket')];
  return programCase({
    name: 'virtnbdbackup -l copy -z',
    folder,
    command: ['virtnbdbackup', '-U', uri, '-d', 'bench', '-l', 'copy', '-z', '-n', ...where],
    checksum: () => sizeOf(path.join(out, 'vda.copy.data')),
    prove: () => proveVirtnbdbackup(folder, out, uri),
    reset: () => removeAll(out),
  });
}

async function proveVirtnbdbackup(folder: string, out: string, uri: string): Promise<string> {
  const [restored, raw] = [path.join(folder, 'vnb-restored'), path.join(folder, 'vnb.raw')];
  await mkdir(restored);
  const log = path.join(folder, 'vnb.log');
  const socket = path.join(folder, 'vnb-restore.socket');
  const args = ['-U', uri, '-a', 'restore', '-i', out, '-o', restored, '-n', '-f', socket];
  runPlain({ command: ['virtnbdrestore', ...args, '-L', log] });
  const disk = path.join(restored, DOMAIN_DISK);
  // Its qemu-nbd may hold the lock of the image a moment longer than the program runs.
  const waits = { attempts: 7, firstDelayMs: 100, shouldRetry: () => true, signal: undefined };
  await retry(waits, async () => {
    runPlain({ command: ['qemu-img', 'convert', '-O', 'raw', disk, raw] });
  });
  const digest = await digestFile(raw);
  await removeAll(restored, raw);
  return digest;
}

function nbdcopyCase(setting: Setting, target: 'null' | 'file'): BenchCase {
  const server = ['[', 'qemu-nbd', '--read-only', '--shared=8', '-f', 'raw', setting.image, ']'];
  if (target === 'file') {
    return fileCase(setting, {
      name: 'nbdcopy from qemu-nbd to a raw file',
      suffix: 'nbdcopy',
      command: (out) => ['nbdcopy', '--connections=4', '--', ...server, out],
    });
  }
  return programCase({
    name: 'nbdcopy from qemu-nbd to null',
    folder: setting.folder,
    command: ['nbdcopy', '--connections=4', '--', ...server, 'null:'],
    checksum: () => 'read',
  });
}

export const VIRTNBDBACKUP: Peer = {
  name: 'virtnbdbackup',
  program: 'virtnbdbackup',
  debianPackage: 'virtnbdbackup',
  make: virtnbdbackupCase,
};

export const NBDCOPY_NULL: Peer = {
  name: 'nbdcopy to null',
  program: 'nbdcopy',
  debianPackage: 'libnbd-bin',
  make: (setting) => nbdcopyCase(setting, 'null'),
};

export const NBDCOPY_FILE: Peer = {
  ...NBDCOPY_NULL,
  name: 'nbdcopy to a file',
  make: (setting) => nbdcopyCase(setting, 'file'),
};
