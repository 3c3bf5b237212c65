/** Well-formed answers and files of engines, hosts and sessions. */

const ID = '00000000-0000-4000-8000-00000000000a';
const OTHER_ID = '00000000-0000-4000-8000-00000000000b';

const DISK = {
  id: ID,
  alias: 'disk',
  format: 'cow',
  backup: 'incremental',
  qcow_version: 'qcow2_v3',
  sparse: 'true',
  provisioned_size: '10737418240',
  actual_size: '1073741824',
  status: 'ok',
  storage_type: 'image',
  content_type: 'data',
  shareable: 'false',
  storage_domains: { storage_domain: [{ id: OTHER_ID }] },
};

const ATTACHMENT = {
  id: ID,
  active: 'true',
  bootable: 'true',
  interface: 'virtio_scsi',
  disk: DISK,
};

const VM = {
  id: ID,
  name: 'web01',
  status: 'up',
  origin: 'ovirt',
  cluster: { id: OTHER_ID },
  initialization: { configuration: { type: 'ovf', data: '<Envelope/>' } },
};

const TRANSFER = {
  id: ID,
  phase: 'transferring',
  direction: 'download',
  image: { id: OTHER_ID },
  host: { id: OTHER_ID },
  transfer_url: `https://host.example:54322/images/${OTHER_ID}`,
  proxy_url: `https://engine.example:54323/images/${OTHER_ID}`,
};

const BACKUP = { id: ID, phase: 'ready', to_checkpoint_id: OTHER_ID, snapshot: { id: OTHER_ID } };
const DOMAIN = { id: ID, name: 'data', type: 'data', available: '1000', storage: { type: 'nfs' } };
const VERSION = { major: '4', minor: '5', build: '6', full_version: '4.5.6-1.el9' };

/** Answers of the engine, one of each kind. */
export const ANSWERS: readonly unknown[] = [
  { product_info: { name: 'oVirt Engine', version: VERSION } },
  { vm: [VM] },
  VM,
  { disk_attachment: [ATTACHMENT, { ...ATTACHMENT, disk: { id: ID } }] },
  DISK,
  { backup: [BACKUP] },
  BACKUP,
  { checkpoint: [{ id: ID, state: 'created', creation_date: 1_790_000_000_000 }] },
  TRANSFER,
  { image_transfer: TRANSFER },
  { event: [{ code: '10791', description: 'Backup finished', severity: 'normal' }] },
  { storage_domain: [DOMAIN] },
  { disk_snapshot: [{ id: ID, format: 'cow' }] },
  { fault: { reason: 'Operation Failed', detail: '[Cannot backup VM. The VM is locked.]' } },
  { reason: 'Operation Failed', detail: "[Checkpoint ID x doesn't exist]" },
  {},
];

/** Lists of extents. */
export const EXTENTS: readonly unknown[] = [
  [
    { start: 0, length: 65_536, zero: false, hole: false },
    { start: 65_536, length: 131_072, zero: true, hole: true },
    { start: 196_608, length: 1, zero: false, hole: false },
  ],
  [
    { start: 0, length: 65_536, dirty: true, zero: false },
    { start: 65_536, length: 8_000_000_000, dirty: false, zero: false },
  ],
  [],
];

const PROCESS = { host: 'backup', bootId: OTHER_ID, pid: 1, processStart: '1' };

/** Journal of a killed session. */
export const JOURNAL: readonly unknown[] = [
  {
    at: '2026-11-22T00:00:00.000Z',
    step: 'session',
    kind: 'backup',
    sessionId: ID,
    vmId: ID,
    vmName: 'web01',
    process: PROCESS,
  },
  { step: 'backup-starting', description: `ovirt-cbt ${ID}`, otherTransferIds: [OTHER_ID] },
  { step: 'backup', backupId: ID },
  { step: 'backup-ready', backupId: ID, toCheckpointId: OTHER_ID, snapshotId: OTHER_ID },
  { step: 'transfer-starting', diskId: ID },
  { step: 'transfer', transferId: ID, diskId: ID },
  { step: 'snapshot-left', snapshotId: ID },
  { step: 'disk', diskId: ID, name: 'disk' },
];

export const LEASE: unknown = {
  pointId: ID,
  files: ['vm.D2026-11-22T000000_0000.vbk', 'vm.D2026-11-23T000000_0001.vib'],
  since: '2026-11-22T00:00:00.000Z',
  process: PROCESS,
};
export const LOCK: unknown = { id: ID, since: '2026-11-22T00:00:00.000Z', ...PROCESS };

/** Answers of an image server as bytes of the connection, each with its request. */
export const IMAGE_ANSWERS: readonly string[] = [
  http('200 OK', { features: ['extents', 'zero', 'flush'], max_readers: 8, max_writers: 8 }),
  http('204 No Content', undefined),
  http('405 Method Not Allowed', { code: 405, title: 'Method Not Allowed' }),
  http('200 OK', EXTENTS[0]),
  http('200 OK', EXTENTS[1]),
  http('404 Not Found', { detail: 'Ticket does not support dirty extents' }),
  http('206 Partial Content', 'x'.repeat(4096), 'Content-Range: bytes 4096-8191/*\r\n'),
  http('200 OK', { algorithm: 'sha256', block_size: 4_194_304, checksum: 'ab'.repeat(32) }),
  http('403 Forbidden', { detail: 'You are not allowed to access this resource' }),
];

function http(status: string, content: unknown, headers = ''): string {
  const body =
    typeof content === 'string' ? content : content === undefined ? '' : JSON.stringify(content);
  return `HTTP/1.1 ${status}\r\nServer: imageio/2.5.0\r\nContent-Length: ${body.length}\r\n${headers}\r\n${body}`;
}

/** Configuration of a VM with a disk. */
export const OVF: string = `<?xml version="1.0" encoding="UTF-8"?><ovf:Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1/" xmlns:rasd="http://schemas.dmtf.org/rasd" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><References><File ovf:href="d1/v1" ovf:id="v1"/></References><Section xsi:type="ovf:DiskSection_Type"><Disk ovf:diskId="v1"/></Section><Content ovf:id="out"><Name>web01</Name><Section xsi:type="ovf:VirtualHardwareSection_Type"><Item><rasd:ResourceType>17</rasd:ResourceType></Item><Item><rasd:ResourceType>10</rasd:ResourceType></Item></Section></Content></ovf:Envelope>`;
