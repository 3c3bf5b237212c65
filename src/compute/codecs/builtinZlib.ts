/** `node:zlib`, loaded with the first block that needs it: our own blocks never do. */

/** Node's own zstd, from 22.15 on. The types of Node 20 do not know it. */
interface ZstdFunctions {
  readonly zstdDecompressSync?: (
    frame: Uint8Array,
    options: { readonly maxOutputLength: number; readonly chunkSize: number },
  ) => Buffer;
}

export function builtinZlib(): typeof import('node:zlib') & ZstdFunctions {
  return process.getBuiltinModule('node:zlib');
}
