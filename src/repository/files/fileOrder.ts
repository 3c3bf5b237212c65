/**
 * Checks that files of a chain were given oldest first, as far as the ids in them tell. File names
 * say nothing: merges rename files. Pure.
 */
import { RepositoryError, UsageError } from '../../core/errors.ts';
import type { IdLink } from './foreignSummary.ts';

/** What ids are about: a restore point of ours; a file, or a machine in a file, of others. */
const LINK_KINDS = ['restore point', 'storage', 'machine state'] as const;
export type LinkKind = (typeof LINK_KINDS)[number];
export type Links = Readonly<Partial<Record<LinkKind, IdLink>>>;

export interface OrderedFile {
  /** Name for messages. */
  readonly name: string;
  /** As it was given. */
  readonly path: string;
  /** What the file that it builds on was called when it was written; empty when not known. */
  readonly parentName: string;
  readonly links: Links;
  /** True when it holds disks only as changes: it cannot be the first. */
  readonly needsParent: boolean;
}

/** The same files, oldest first, when the links of one kind give one order for all. */
function orderBy(kind: LinkKind, files: readonly OrderedFile[]): OrderedFile[] | undefined {
  const byId = new Map(files.map((file) => [file.links[kind]?.id ?? '', file]));
  const parentOf = (file: OrderedFile): OrderedFile | undefined =>
    byId.get(file.links[kind]?.parentId || 'none');
  const firsts = files.filter((file) => !parentOf(file));
  const order = firsts.slice(0, 1);
  for (let at = order[0]; at; ) {
    const next = files.filter((file) => parentOf(file) === at && !order.includes(file));
    at = next.length === 1 ? next[0] : undefined;
    if (at) order.push(at);
  }
  return byId.size === files.length && order.length === files.length ? order : undefined;
}

function wrongOrder(
  files: readonly OrderedFile[],
  kind: LinkKind,
  text: string,
  otherHint: string,
): UsageError {
  const order = orderBy(kind, files);
  const hint = order
    ? `give the files in this order: ${order.map((file) => file.path).join(' ')}`
    : otherHint;
  return new UsageError('USAGE_FILE_ORDER', text, { hint });
}

function parentMissing(file: OrderedFile, parentId: string): RepositoryError {
  const id = parentId === '' ? '' : ` (${parentId})`;
  const { parentName } = file;
  const called = parentName === '' ? '' : `; that one was called ${parentName}`;
  return new RepositoryError(
    'CHAIN_PARENT_MISSING',
    `${file.name} holds changes only, and the file that it builds on${id} was not given`,
    { hint: `give all files of the chain, the full first${called}` },
  );
}

/**
 * The first file must hold whole disks.
 *
 * @throws {@link UsageError} `USAGE_FILE_ORDER` when its base comes later; {@link RepositoryError}
 *   `CHAIN_PARENT_MISSING`
 */
export function checkFirst(files: readonly OrderedFile[]): void {
  const kinds = LINK_KINDS;
  const [first] = files;
  if (!first?.needsParent) return;
  for (const kind of kinds) {
    const parentId = first.links[kind]?.parentId ?? '';
    const parent = files.find((file) => parentId !== '' && file.links[kind]?.id === parentId);
    if (!parent) continue;
    const text = `${first.name} is given first, but it builds on ${parent.name}`;
    throw wrongOrder(files, kind, text, 'give the files oldest first');
  }
  const known = kinds.map((kind) => first.links[kind]?.parentId ?? '').find((id) => id !== '');
  throw parentMissing(first, known ?? '');
}

function checkTwice(files: readonly OrderedFile[], kinds: readonly LinkKind[]): void {
  for (const kind of kinds) {
    for (const [k, { name, links }] of files.entries()) {
      const id = links[kind]?.id ?? '';
      const other = files.slice(0, k).find((file) => id !== '' && file.links[kind]?.id === id);
      if (!other) continue;
      throw new UsageError('USAGE_FILE_ORDER', `${other.name} and ${name} are the same ${kind}`, {
        hint: 'give each file of the chain once',
      });
    }
  }
}

/** True when a link of `kind` says that `file` builds on `before`. */
export function isLinked(
  before: Links | undefined,
  file: Links | undefined,
  kind: LinkKind,
): boolean {
  const id = before?.[kind]?.id ?? '';
  return id !== '' && file?.[kind]?.parentId === id;
}

/** True when ids prove that a file follows the one before; false when they do not tell. */
function follows(files: readonly OrderedFile[], at: number, kind: LinkKind): boolean {
  const [before, file] = [files[at - 1], files[at]];
  const id = before?.links[kind]?.id ?? '';
  const { id: ownId = '', parentId = '' } = file?.links[kind] ?? {};
  if (!before || !file || id === '' || ownId === '') return false;
  if (isLinked(before.links, file.links, kind)) return true;
  if (parentId === '') {
    if (file.needsParent) return false;
    const text = `${file.name} is a full of its own and does not build on ${before.name}`;
    throw wrongOrder(files, kind, text, `leave out the files before ${file.name}`);
  }
  const parent = files.find((other) => other.links[kind]?.id === parentId);
  if (!parent && file.needsParent) throw parentMissing(file, parentId);
  const owner = parent ? parent.name : `a file that was not given (${parentId})`;
  const text = `${file.name} does not follow ${before.name}: it builds on ${owner}`;
  throw wrongOrder(files, kind, text, 'give all files of one chain, oldest first');
}

/**
 * Checks that each file builds on the one before, as far as ids tell.
 *
 * @param kinds - the links to compare.
 * @param isProven - positions of files that follow the one before for another reason.
 * @returns for each file whether it is known to follow the one before. The first does not.
 * @throws {@link UsageError} `USAGE_FILE_ORDER`; {@link RepositoryError} `CHAIN_PARENT_MISSING`
 */
export function checkOrder(
  files: readonly OrderedFile[],
  kinds: readonly LinkKind[],
  isProven: (at: number) => boolean = () => false,
): boolean[] {
  checkTwice(files, kinds);
  return files.map((file, at) => {
    if (at === 0) return false;
    // A machine may start again with a full in a file that continues the others.
    if (isProven(at) && !file.needsParent) return true;
    return kinds.map((kind) => follows(files, at, kind)).includes(true) || isProven(at);
  });
}
