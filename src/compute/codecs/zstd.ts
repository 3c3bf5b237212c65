/**
 * Expands zstd frames of blocks that others stored. Node has a decoder from 22.15 on. Before, the
 * optional package `zstddec` does the work: the C decoder in WebAssembly. It is loaded with the
 * first block that needs it, in each thread. This is the only file that touches the package.
 */
import { UsageError } from '../../core/errors.ts';
import {
  UNPACK_BAD_LENGTH,
  UNPACK_BAD_STREAM,
  UNPACK_OK,
  type UnpackStatus,
} from '../storedForm.ts';
import { builtinZlib } from './builtinZlib.ts';
import { zstdFrameBytes } from './zstdFrame.ts';

/** Expands one whole frame of at most `plainBytes`. Throws, or gives other bytes, for a bad one. */
type FrameDecoder = (frame: Buffer, plainBytes: number) => Uint8Array;

/** Shape of the package. */
interface DecoderPackage {
  readonly ZSTDDecoder: new () => {
    init(): Promise<void>;
    decode(frame: Uint8Array, plainBytes: number): Uint8Array;
  };
}

let decoder: FrameDecoder | undefined;
let loading: Promise<FrameDecoder> | undefined;

function ownDecoder(): FrameDecoder | undefined {
  const { zstdDecompressSync } = builtinZlib();
  if (!zstdDecompressSync) return undefined;
  return (frame, plainBytes) =>
    zstdDecompressSync(frame, {
      maxOutputLength: plainBytes,
      chunkSize: Math.max(64, plainBytes + 1),
    });
}

async function packageDecoder(load: () => Promise<DecoderPackage>): Promise<FrameDecoder> {
  let loaded: DecoderPackage;
  try {
    loaded = await load();
  } catch (error) {
    throw new UsageError(
      'USAGE_CODEC_MISSING',
      'the file holds blocks of zstd, and nothing here can expand them',
      {
        cause: error,
        hint: 'use Node 22.15 or newer, or install the optional package zstddec beside ovirt-cbt',
      },
    );
  }
  const zstd = new loaded.ZSTDDecoder();
  await zstd.init();
  return (frame, plainBytes) => zstd.decode(frame, plainBytes);
}

/**
 * Chooses a decoder: that of Node, otherwise the package.
 *
 * @param own - replaced in tests, as `load`.
 * @throws {@link UsageError} `USAGE_CODEC_MISSING`
 */
export async function chooseZstd(
  own: FrameDecoder | undefined,
  load: () => Promise<DecoderPackage>,
): Promise<FrameDecoder> {
  return own ?? (await packageDecoder(load));
}

/**
 * Loads the decoder of this thread; once. A failed load is tried again by the next call.
 *
 * @throws {@link UsageError} `USAGE_CODEC_MISSING`
 */
export async function loadZstd(): Promise<void> {
  loading ??= chooseZstd(ownDecoder(), () => import('zstddec'));
  try {
    decoder = await loading;
  } catch (error) {
    loading = undefined;
    throw error;
  }
}

/**
 * Expands one frame into `target`, which it must fill exactly. Bytes after the frame are padding.
 * {@link loadZstd} was awaited before.
 */
export function expandZstd(stored: Buffer, target: Buffer): UnpackStatus {
  const frameBytes = zstdFrameBytes(stored, target.length);
  if (frameBytes === undefined || !decoder) return UNPACK_BAD_STREAM;
  try {
    const plain = decoder(stored.subarray(0, frameBytes), target.length);
    if (plain.length !== target.length) return UNPACK_BAD_LENGTH;
    target.set(plain);
    return UNPACK_OK;
  } catch {
    return UNPACK_BAD_STREAM;
  }
}
