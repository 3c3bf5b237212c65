/**
 * The lab's data plane over the real ovirt-imageio daemon. Each ticket has two parts: a qemu-nbd
 * that serves the image, and an entry in the daemon. Source: vdsm (NBD servers of transfers, image
 * tickets).
 */
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type {
  LabAuthority,
  LabImageioPlane,
  TargetImage,
  Ticket,
  TicketStatus,
} from '../../../lab/src/dataPlane.ts';
import type { LabTraffic } from '../../../lab/src/types.ts';
import { Front } from './front.ts';
import { ImageioDaemon } from './imageioDaemon.ts';
import {
  addBitmap,
  GuestExport,
  type ImageFile,
  type MappedRange,
  mergeBitmap,
  NbdExport,
  type NbdServer,
  qemuImg,
} from '../qemu/qemu.ts';

const TICKET_TIMEOUT_SECONDS = 300;
const MERGED_BITMAP = 'since-base';

/** Bytes that one ticket served, and QEMU's own figures of the export. */
export interface ServedTicket {
  readonly diskId: string;
  readonly mode: 'read' | 'write';
  readonly context: 'zero' | 'dirty';
  /** `transferred` of the ticket, read last before its removal. */
  transferredBytes: number;
  /** Allocated bytes of the whole export that are not known zeros. */
  readonly dataBytes: number;
  /** Both are 0 without a bitmap. */
  readonly dirtyBytes: number;
  readonly dirtyDataBytes: number;
}

interface OpenTicket {
  readonly nbd: NbdServer;
  readonly overlay: string | undefined;
  readonly served: ServedTicket;
}

export interface RealImageioOptions {
  readonly folder: string;
  readonly venv: string;
  readonly authority: LabAuthority;
  readonly localSocket?: string | undefined;
}

function sum(ranges: readonly MappedRange[]): number {
  return ranges.reduce((total, { length }) => total + length, 0);
}

/** Bytes that are in both lists of ranges. */
function overlap(some: readonly MappedRange[], others: readonly MappedRange[]): number {
  let total = 0;
  for (const one of some) {
    for (const other of others) {
      const end = Math.min(one.start + one.length, other.start + other.length);
      total += Math.max(0, end - Math.max(one.start, other.start));
    }
  }
  return total;
}

function measure(
  nbd: NbdServer,
): Pick<ServedTicket, 'dataBytes' | 'dirtyBytes' | 'dirtyDataBytes'> {
  const data = nbd.map().filter((range) => range.data && !range.zero);
  // With `x-dirty-bitmap`, `qemu-img map` shows dirty ranges as ranges without data.
  const dirty = nbd.bitmap === undefined ? [] : nbd.map(nbd.bitmap).filter((range) => !range.data);
  return {
    dataBytes: sum(data),
    dirtyBytes: sum(dirty),
    dirtyDataBytes: overlap(data, dirty),
  };
}

export class RealImageio implements LabImageioPlane {
  readonly daemon: ImageioDaemon;
  readonly authority: LabAuthority;
  readonly front: Front;
  readonly served: ServedTicket[] = [];
  readonly traffic: LabTraffic;
  /** Next exports are shorter than their disks by so many bytes. */
  hiddenTailBytes = 0;
  /** Origin of the transfer URLs: {@link front}, unless a test sets another one. */
  directOrigin: string;
  readonly #folder: string;
  readonly #tickets = new Map<string, OpenTicket>();

  private constructor(options: RealImageioOptions, daemon: ImageioDaemon, front: Front) {
    this.#folder = options.folder;
    this.daemon = daemon;
    this.authority = options.authority;
    this.front = front;
    this.directOrigin = front.origin;
    const bytes = (mode: 'read' | 'write'): ReadonlyMap<string, number> => this.#bytesOf(mode);
    this.traffic = {
      get readBytes() {
        return bytes('read');
      },
      get writtenBytes() {
        return bytes('write');
      },
      zeroedBytes: new Map(),
      maxConnections: 0,
      openConnections: 0,
      reset: () => void this.served.splice(0),
    };
  }

  static async start(options: RealImageioOptions): Promise<RealImageio> {
    const folder = path.join(options.folder, 'imageio');
    mkdirSync(folder);
    const daemon = await ImageioDaemon.start({ ...options, folder });
    return new RealImageio(options, daemon, await Front.start(daemon.port));
  }

  get proxyOrigin(): string {
    return this.directOrigin;
  }

  ticketIds(): readonly string[] {
    return [...this.#tickets.keys()];
  }

  async addTicket(ticket: Ticket): Promise<void> {
    const { id, target, mode, transferId, dirty, inactivityTimeoutMs } = ticket;
    const { image, diskId, sizeBytes } = target;
    if (!image) throw new Error('the disk is no image file');
    const open = await this.#serve(image, ticket);
    this.#tickets.set(id, {
      ...open,
      served: {
        diskId,
        mode,
        context: dirty ? 'dirty' : 'zero',
        transferredBytes: 0,
        ...measure(open.nbd),
      },
    });
    const { status, body } = await this.daemon.control('PUT', `/tickets/${id}`, {
      uuid: id,
      size: sizeBytes,
      ops: [mode],
      url: open.nbd.url,
      timeout: TICKET_TIMEOUT_SECONDS,
      inactivity_timeout: Math.max(1, Math.ceil(inactivityTimeoutMs / 1000)),
      transfer_id: transferId,
      sparse: true,
      dirty,
    });
    if (status === 200) return;
    await this.#forget(id);
    throw new Error(`ovirt-imageio refused a ticket: ${JSON.stringify(body)}`);
  }

  async ticketStatus(ticketId: string): Promise<TicketStatus | undefined> {
    const { status, body } = await this.daemon.control('GET', `/tickets/${ticketId}`);
    if (status === 404) {
      await this.#forget(ticketId);
      return undefined;
    }
    const transferredBytes = Number(body['transferred'] ?? 0);
    const entry = this.#tickets.get(ticketId);
    if (entry) entry.served.transferredBytes = transferredBytes;
    return {
      active: body['active'] === true,
      idleMs: Number(body['idle_time']) * 1000,
      transferredBytes,
    };
  }

  extendTicket(ticketId: string): void {
    const patch = { timeout: TICKET_TIMEOUT_SECONDS };
    // The next `ticketStatus` reports a daemon that does not answer.
    this.daemon.control('PATCH', `/tickets/${ticketId}`, patch).catch(() => {});
  }

  async removeTicket(ticketId: string): Promise<boolean> {
    await this.ticketStatus(ticketId);
    const { status } = await this.daemon.control('DELETE', `/tickets/${ticketId}`);
    if (status !== 204) return false;
    await this.#forget(ticketId);
    return true;
  }

  async restart(): Promise<void> {
    await this.daemon.stop();
    await this.daemon.start();
  }

  async close(): Promise<void> {
    await this.front.close();
    await this.daemon.stop();
    for (const id of this.ticketIds()) await this.#forget(id);
  }

  /** With bitmaps, an overlay is served that holds the union of the bitmaps. vdsm does the same. */
  async #serve(
    image: TargetImage,
    { id, mode, target }: Ticket,
  ): Promise<Pick<OpenTicket, 'nbd' | 'overlay'>> {
    const { path: imagePath, format, exportName = '' } = image;
    if (format === 'export') {
      return {
        nbd: new GuestExport(imagePath, exportName, image.bitmaps?.[0]),
        overlay: undefined,
      };
    }
    const file: ImageFile = { path: imagePath, format };
    const socketPath = path.join(this.#folder, `${id.slice(0, 13)}.nbd`);
    const isWritable = mode === 'write';
    if (!image.bitmaps && this.hiddenTailBytes === 0) {
      const options = { image: file, socketPath, isWritable, bitmap: undefined };
      return { nbd: await NbdExport.start(options), overlay: undefined };
    }
    const overlay = path.join(this.#folder, `${id.slice(0, 13)}.overlay`);
    const shownBytes = target.sizeBytes - this.hiddenTailBytes;
    const backing = ['-b', imagePath, '-F', format];
    qemuImg('create', '-q', '-f', 'qcow2', ...backing, overlay, String(shownBytes));
    const bitmap = image.bitmaps && MERGED_BITMAP;
    if (image.bitmaps) this.#mergeBitmaps(file, image.bitmaps, overlay);
    const shown: ImageFile = { path: overlay, format: 'qcow2' };
    const nbd = await NbdExport.start({ image: shown, socketPath, isWritable, bitmap });
    return { nbd, overlay };
  }

  #mergeBitmaps(image: ImageFile, names: readonly string[], overlay: string): void {
    addBitmap(overlay, MERGED_BITMAP, { isRecording: false });
    for (const name of names) mergeBitmap(image, name, overlay, MERGED_BITMAP);
  }

  async #forget(ticketId: string): Promise<void> {
    const entry = this.#tickets.get(ticketId);
    if (!entry) return;
    this.#tickets.delete(ticketId);
    this.served.push(entry.served);
    await entry.nbd.stop();
    if (entry.overlay !== undefined) rmSync(entry.overlay, { force: true });
  }

  #bytesOf(mode: 'read' | 'write'): ReadonlyMap<string, number> {
    const bytes = new Map<string, number>();
    for (const ticket of this.served.filter((one) => one.mode === mode)) {
      const before = bytes.get(ticket.diskId) ?? 0;
      bytes.set(ticket.diskId, before + ticket.transferredBytes);
    }
    return bytes;
  }
}
