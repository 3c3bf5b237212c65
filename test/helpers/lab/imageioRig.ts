/** The lab's imageio without an engine: one disk, tickets, and requests through undici. */
import { once } from 'node:events';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Agent, request } from 'undici';
import { createLabAuthority } from '../../../lab/src/http/certificates.ts';
import type { Ticket } from '../../../lab/src/dataPlane.ts';
import { LabFaultList } from '../../../lab/src/http/faults.ts';
import { downloadTarget } from '../../../lab/src/disks/frozenView.ts';
import { LabImageio } from '../../../lab/src/imageio/imageio.ts';
import type { LabDiskState } from '../../../lab/src/disks/labDisk.ts';
import type { Lab, LabRequest } from '../../../lab/src/types.ts';
import { G, labDisk } from './labDisks.ts';

export interface ImageioAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** Without the newline at the end of errors. */
  readonly text: string;
}

export interface ImageioCall {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: Buffer | string;
  readonly agent?: Agent | undefined;
  readonly origin?: string;
}

export interface ImageioRig {
  readonly imageio: LabImageio;
  readonly disk: LabDiskState;
  readonly faults: LabFaultList;
  readonly records: readonly LabRequest[];
  readonly behaviour: { oldImageio: boolean };
  readonly caPem: string;
  /** An agent with a single connection. The rig closes it. */
  agent(): Agent;
  /** A ticket `t1` of transfer `tr1`, unless said otherwise. */
  addTicket(ticket?: Partial<Ticket>): Promise<void>;
  addUpload(ticket?: Partial<Ticket>): Promise<void>;
  /** Sends `text` on a raw connection and ends that side. @returns the answer. */
  talk(text: string): Promise<string>;
  /**
   * Asks for the image of ticket `t1` on a new connection and reads nothing of it. For large
   * images.
   */
  stalledRead(): Promise<TLSSocket>;
  /** A request to a path below /images. */
  call(path: string, call?: ImageioCall): Promise<ImageioAnswer>;
  close(): Promise<void>;
}

/** Made once, since signatures take longest. */
const AUTHORITY = createLabAuthority();
const IDENTITY = AUTHORITY.issue();

/** Eight granules and a bit: 1 and 2 hold data, 2 and the discarded 4 are dirty. */
function makeDisk(): LabDiskState {
  const disk = labDisk({ sizeBytes: 8 * G + 100 });
  disk.write(G, Buffer.alloc(2 * G, 1));
  disk.addBitmap('a');
  disk.write(2 * G, Buffer.alloc(G, 2));
  disk.zero(4 * G, G);
  return disk;
}

export async function startImageio(
  options: { readonly ticketLifeMs?: number } = {},
): Promise<ImageioRig> {
  const faults = new LabFaultList();
  const records: LabRequest[] = [];
  const behaviour = { oldImageio: false };
  const imageio = await LabImageio.start({
    identity: IDENTITY,
    faults,
    behaviour,
    lab: () => ({}) as Lab,
    record: (entry) => records.push(entry),
    ...options,
  });
  const disk = makeDisk();
  const agents: Agent[] = [];
  const agent = (): Agent => {
    const made = new Agent({ connections: 1, connect: { ca: AUTHORITY.caPem } });
    agents.push(made);
    return made;
  };
  const shared = agent();
  const connect = (): TLSSocket => {
    const { port } = new URL(imageio.directOrigin);
    const socket = connectTls({ host: '127.0.0.1', port: Number(port), ca: AUTHORITY.caPem });
    return socket.on('error', () => {});
  };
  const common = { id: 't1', transferId: 'tr1', dirty: false, inactivityTimeoutMs: 60_000 };
  return {
    imageio,
    disk,
    faults,
    records,
    behaviour,
    caPem: AUTHORITY.caPem,
    agent,
    addTicket: async (ticket) => {
      const target = downloadTarget('d1', disk.freeze(), ['a']);
      await imageio.addTicket({ ...common, mode: 'read', target, ...ticket });
    },
    addUpload: async (ticket) => {
      await imageio.addTicket({ ...common, mode: 'write', target: disk.uploadTarget(), ...ticket });
    },
    talk: async (text) => {
      const socket = connect().end(text);
      return Buffer.concat(await socket.toArray()).toString();
    },
    stalledRead: async () => {
      const socket = connect();
      socket.write('GET /images/t1 HTTP/1.1\r\nhost: x\r\n\r\n');
      await once(socket, 'readable');
      return socket;
    },
    call: async (path, { method = 'GET', headers = {}, body, agent = shared, origin } = {}) => {
      const url = `${origin ?? imageio.directOrigin}/images/${path}`;
      const answer = await request(url, {
        method: method as 'GET',
        headers,
        dispatcher: agent,
        ...(body !== undefined && { body }),
      });
      const bytes = Buffer.from(await answer.body.arrayBuffer());
      return {
        status: answer.statusCode,
        headers: answer.headers,
        body: bytes,
        text: bytes.toString().replace(/\n$/, ''),
      };
    },
    close: async () => {
      await Promise.all(agents.map((made) => made.destroy()));
      await imageio.close();
    },
  };
}
