/** A VM of the lab with a qcow2 image as its disk. The real imageio daemon serves it over TLS. */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { startLabOver } from '../lab/src/facade/start.ts';
import type { Lab, LabVm } from '../lab/src/types.ts';
import { type EngineSettings, scaleTimings } from '../src/index.ts';
import { type ImageFile, mapOf, qemuImg } from '../test/interop/qemu/qemu.ts';
import { QemuDisk } from '../test/interop/qemu/qemuDisk.ts';
import { RealBackend } from '../test/interop/imageio/realBackend.ts';
import { CpuWatch } from './cpuWatch.ts';

const TIME_SCALE = 0.02;
const INACTIVITY_TIMEOUT_MS = 300_000;
const DISK = 'sys';
/** Names of the programs, as the kernel keeps them: 15 characters. */
const SERVERS = new Set(['ovirt-imageio', 'qemu-nbd']);

/** Python's virtual environment with ovirt-imageio. `npm run test:interop` makes it. */
export function findVenv(): string | undefined {
  const venv = path.resolve(process.env['INTEROP_VENV'] ?? '.venv');
  try {
    execFileSync(path.join(venv, 'bin', 'python'), ['-c', 'import ovirt_imageio'], {
      stdio: 'ignore',
    });
    return venv;
  } catch {
    return undefined;
  }
}

export interface OpenTicket {
  readonly url: string;
  close(): Promise<void>;
}

export class ImageioRig {
  readonly venv: string;
  readonly caFile: string;
  readonly vm: LabVm;
  readonly #folder: string;
  readonly #lab: Lab;
  readonly #backend: RealBackend;

  private constructor(venv: string, folder: string, lab: Lab, backend: RealBackend, vm: LabVm) {
    this.venv = venv;
    this.caFile = path.join(folder, 'ca.pem');
    this.vm = vm;
    this.#folder = folder;
    this.#lab = lab;
    this.#backend = backend;
  }

  /** @param folder - is made. The path must be short, because sockets are made in it */
  static async start(venv: string, folder: string, image: string): Promise<ImageioRig> {
    await mkdir(folder);
    const backend = new RealBackend({ folder, venv }, (at, spec) => new QemuDisk(at, spec));
    const lab = await startLabOver(backend, { timeScale: TIME_SCALE });
    // Clients talk to the daemon directly. The port before it is only for tests that cut
    // connections.
    backend.imageio.directOrigin = `https://127.0.0.1:${backend.imageio.daemon.port}`;
    const vm = lab.addVm({ name: 'bench', disks: [{ name: DISK, sizeBytes: 1 << 20 }] });
    const copy: ImageFile = { path: path.join(folder, 'copy.qcow2'), format: 'qcow2' };
    qemuImg('convert', '-f', 'raw', '-O', 'qcow2', image, copy.path);
    const rig = new ImageioRig(venv, folder, lab, backend, vm);
    rig.#disk().adopt(copy);
    await writeFile(rig.caFile, lab.caPem);
    return rig;
  }

  get settings(): EngineSettings {
    const { url, username, password, caPem } = this.#lab;
    const timings = { ...scaleTimings(0.05), imageioExtentsMs: 120_000, imageioReadMs: 60_000 };
    return { url, username, password, caPem, timings };
  }

  /** Bytes that QEMU calls neither zero nor a hole. */
  get dataBytes(): number {
    const { path: file, format } = this.#disk().image;
    const data = mapOf('-U', '-f', format, file).filter((range) => range.data && !range.zero);
    return data.reduce((sum, { length }) => sum + length, 0);
  }

  #disk(): QemuDisk {
    const disk = this.#backend.disk(this.vm.disk(DISK).id);
    if (disk instanceof QemuDisk) return disk;
    throw new Error('the disk is not one of QEMU');
  }

  /** Begins to count the CPU time of the daemon and of its qemu-nbd. */
  watchServers(): CpuWatch {
    return new CpuWatch((name) => SERVERS.has(name));
  }

  /** Opens a ticket for the present image, as the engine does for a backup. */
  async openTicket(): Promise<OpenTicket> {
    const disk = this.#disk();
    const { imageio } = this.#backend;
    const id = randomUUID();
    await imageio.addTicket({
      id,
      transferId: randomUUID(),
      target: { ...disk.uploadTarget(), image: { ...disk.image, bitmaps: undefined } },
      mode: 'read',
      dirty: false,
      inactivityTimeoutMs: INACTIVITY_TIMEOUT_MS,
    });
    return {
      url: `${imageio.directOrigin}/images/${id}`,
      close: async () => {
        if (!(await imageio.removeTicket(id))) throw new Error('a ticket is still in use');
      },
    };
  }

  /** Removes the reference copies of frozen views. Only tests need them. */
  async removeCopies(): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      if (name.endsWith('.view.raw')) await rm(path.join(this.#folder, name));
    }
  }

  async close(): Promise<void> {
    await this.#lab.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
