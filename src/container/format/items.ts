/** Items of a container, as a reader lists them. */
import type { Property } from './properties.ts';
import type { DirectoryItem } from './records.ts';

export type ItemKind = 'folder' | 'external' | 'file' | 'patch' | 'increment' | 'unknown';

export interface ContainerItem {
  /** Names from the top, joined by "/". */
  readonly path: string;
  readonly kind: ItemKind;
  readonly properties: readonly Property[] | undefined;
  readonly record: DirectoryItem;
}
