/** The lab's backend for real disks: image files, and the real imageio. */
import type {
  LabAuthority,
  DiskContent,
  DiskContentSpec,
  LabBackend,
  LabImageioPlane,
} from '../../../lab/src/dataPlane.ts';
import { RealImageio, type RealImageioOptions } from './realImageio.ts';

/** Makes the disks of a test. */
export type CreateDisk = (folder: string, spec: DiskContentSpec) => DiskContent;

/** Real image files as disks, served by the real daemon. */
export class RealBackend implements LabBackend {
  readonly #options: Omit<RealImageioOptions, 'authority'>;
  readonly #createDisk: CreateDisk;
  readonly #disks = new Map<string, DiskContent>();
  #imageio: RealImageio | undefined;

  constructor(options: Omit<RealImageioOptions, 'authority'>, createDisk: CreateDisk) {
    this.#options = options;
    this.#createDisk = createDisk;
  }

  get imageio(): RealImageio {
    if (!this.#imageio) throw new Error('the lab has not started');
    return this.#imageio;
  }

  disk(diskId: string): DiskContent {
    const disk = this.#disks.get(diskId);
    if (!disk) throw new Error(`there is no disk ${diskId}`);
    return disk;
  }

  createContent(spec: DiskContentSpec): DiskContent {
    const disk = this.#createDisk(this.#options.folder, spec);
    this.#disks.set(spec.id, disk);
    return disk;
  }

  async startImageio(authority: LabAuthority): Promise<LabImageioPlane> {
    this.#imageio = await RealImageio.start({ ...this.#options, authority });
    return this.#imageio;
  }
}
