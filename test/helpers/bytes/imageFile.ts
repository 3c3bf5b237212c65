/** A small disk of the image alphabet in a file that is open, as devices of local images are. */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface ImageFile {
  readonly path: string;
  readonly fileDescriptor: number;
  close(): void;
}

export function imageFile(content: Uint8Array): ImageFile {
  const folder = mkdtempSync(path.join(tmpdir(), 'cbt-'));
  const file = path.join(folder, 'disk.raw');
  writeFileSync(file, content);
  const fileDescriptor = openSync(file, 'r');
  return {
    path: file,
    fileDescriptor,
    close: () => {
      closeSync(fileDescriptor);
      rmSync(folder, { recursive: true });
    },
  };
}
