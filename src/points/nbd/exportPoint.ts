/** Serves the disks of an opened restore point. */
import { OpenOverlay, type OverlayOptions } from '../overlay/overlayFiles.ts';
import type { PointDisk } from '../pointDisk.ts';
import type { DiskServer, ServeAddress, ServedOverlay } from '../pointTypes.ts';
import { NbdExport } from './nbdExport.ts';
import { NbdServer } from './nbdServer.ts';
import { OverlayExport, overlayBaseOf } from './overlayExport.ts';
import type { ServedDisk } from './servedDisk.ts';
import { loadTls, type TlsStarter } from './tls.ts';

export interface ServeOptions {
  readonly address: ServeAddress;
  /** Clients may write. What they write lies in overlays. */
  readonly writable?: OverlayOptions | undefined;
  /** Certificates. All clients must use TLS then, and show a certificate. */
  readonly tls?: { readonly folder: string } | undefined;
  /** Gets the text of each problem once. */
  readonly onProblem?: ((text: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Facts of the point whose disks are served. */
export interface ServedPoint {
  readonly pointId: string;
  /** Called when the server has stopped. {@link DiskServer.close} waits for it. */
  readonly onEnd: (server: DiskServer) => Promise<void>;
}

/**
 * Reads the extents of all disks, then starts to listen. The name of an export is the alias of its
 * disk, or its id where another disk has the same alias.
 *
 * @throws as {@link NbdServer.start}, {@link OpenOverlay.open} and {@link loadTls}; errors of the
 *   chain
 */
export async function exportDisks(
  disks: readonly PointDisk[],
  point: ServedPoint,
  options: ServeOptions,
): Promise<DiskServer> {
  const tls = options.tls ? await loadTls(options.tls.folder) : undefined;
  const exports: NbdExport[] = [];
  for (const disk of disks) {
    const isUnique = disks.filter(({ alias }) => alias === disk.alias).length === 1;
    const name = isUnique ? disk.alias : disk.id;
    const names = { name, description: `disk ${disk.id}` };
    exports.push(await NbdExport.create(disk, names, options.signal));
  }
  const overlays: OpenOverlay[] = [];
  try {
    const served: ServedDisk[] = [];
    for (const [k, one] of exports.entries()) {
      const overlay = await openOverlay(one, disks[k]?.id ?? '', point, options);
      if (overlay) overlays.push(overlay);
      served.push(overlay ? new OverlayExport(one, overlay.overlay, overlay.folder) : one);
    }
    return await startServer(served, { tls, overlays, point, options });
  } catch (error) {
    await closeOverlays(overlays).catch(() => {});
    throw error;
  }
}

async function openOverlay(
  base: ServedDisk,
  diskId: string,
  { pointId }: ServedPoint,
  { writable }: ServeOptions,
): Promise<OpenOverlay | undefined> {
  if (!writable) return undefined;
  const identity = { pointId, diskId, sizeBytes: base.sizeBytes };
  return await OpenOverlay.open(overlayBaseOf(base), {
    ...writable,
    identity,
  });
}

interface StartParts {
  readonly tls: TlsStarter | undefined;
  readonly overlays: readonly OpenOverlay[];
  readonly point: ServedPoint;
  readonly options: ServeOptions;
}

async function startServer(
  exports: readonly ServedDisk[],
  { tls, overlays, point, options }: StartParts,
): Promise<DiskServer> {
  const { address, onProblem } = options;
  const server = await NbdServer.start({ exports, address, tls, onProblem });
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => await (closing ??= stop());
  const shown: DiskServer = {
    uris: server.uris,
    served: server.served,
    overlays: overlays.map((overlay, k) => describe(exports[k]?.name ?? '', overlay)),
    close,
    [Symbol.asyncDispose]: close,
  };
  async function stop(): Promise<void> {
    await server.close();
    await point.onEnd(shown);
    await closeOverlays(overlays);
  }
  return shown;
}

function describe(exportName: string, { overlay, folder, isKept }: OpenOverlay): ServedOverlay {
  return {
    exportName,
    folder,
    isKept,
    get changedBytes() {
      const { dataBytes, zeroBytes } = overlay.size;
      return dataBytes + zeroBytes;
    },
  };
}

/**
 * The first one may have made the folder of all, so it goes last.
 *
 * @throws the first error, when all are closed
 */
async function closeOverlays(overlays: readonly OpenOverlay[]): Promise<void> {
  const failures: unknown[] = [];
  for (const overlay of overlays.toReversed()) {
    await overlay.close().catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
}
