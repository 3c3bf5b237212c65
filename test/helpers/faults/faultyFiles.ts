/**
 * Counts the product's file-system operations below one folder, and makes one of them fail, or all
 * from one on. It patches `node:fs/promises` and `FileHandle`, so the product needs no code for it.
 * Scripts use it too: no test framework in here.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/** Ways in which an operation fails. */
export const FILE_FAULTS = [
  /** One operation is not carried out. */
  'EIO',
  /**
   * The volume is full from here on: files cannot be made, and writes store a part of their data.
   */
  'ENOSPC',
  /** Every operation that changes the volume fails from here on. */
  'EPERM',
  /** One operation is carried out, but reported as failed. */
  'late EIO',
  /** The volume is gone: every operation fails from here on, reads too. */
  'gone',
  /** One read or write moves a part of its data and says so. Other operations are not changed. */
  'short',
] as const;

export type FileFault = (typeof FILE_FAULTS)[number];

type Operation = (...args: unknown[]) => Promise<unknown>;
type Target = Record<string, Operation>;

/** Functions of `node:fs/promises` whose first argument, or first two, are paths. */
const FUNCTIONS = [
  'access',
  'link',
  'mkdir',
  'open',
  'readFile',
  'readdir',
  'rename',
  'rm',
  'stat',
  'statfs',
  'unlink',
  'writeFile',
] as const;
const METHODS = [
  'datasync',
  'read',
  'stat',
  'sync',
  'truncate',
  'write',
  'writeFile',
  'writev',
] as const;
const READ_ONLY = new Set(['access', 'close', 'read', 'readFile', 'readdir', 'stat', 'statfs']);

/** One operation before it begins. */
interface Call {
  readonly name: string;
  readonly path: string;
  readonly args: unknown[];
  /** True for an operation of a handle, which takes no path. */
  readonly isMethod?: boolean;
  readonly run: (args: unknown[]) => Promise<unknown>;
}

/** Code with which an operation fails; undefined for one that works. */
export type ErrorOf = (name: string, path: string, args: readonly unknown[]) => string | undefined;

export interface PlannedFault {
  readonly fault: FileFault;
  /** Number of the operation, from 1. */
  readonly nth: number;
}

function errnoError(code: string, call: Call): Error {
  const text = `${code}: injected, ${call.name} '${call.path}'`;
  return Object.assign(new Error(text), { code, syscall: call.name, path: call.path });
}

function opensForWriting(flags: unknown): boolean {
  if (typeof flags === 'number') return flags % 4 !== fs.constants.O_RDONLY;
  return flags !== undefined && flags !== 'r';
}

function isChange(call: Call): boolean {
  if (call.name === 'open') return opensForWriting(call.args[1]);
  return !READ_ONLY.has(call.name);
}

/**
 * On a full volume files can be deleted, and files that have their space can be synced and renamed.
 */
function needsSpace(call: Call): boolean {
  return isChange(call) && !['rename', 'rm', 'sync', 'datasync', 'unlink'].includes(call.name);
}

function half(lengthBytes: number): number {
  return Math.max(1, Math.floor(lengthBytes / 2));
}

/** Arguments that move about half of the bytes, or undefined when no bytes are moved. */
function partArgs({ name, args, isMethod }: Call): unknown[] | undefined {
  if (name === 'writev') {
    const pieces = (args[0] as Uint8Array[]).filter((piece) => piece.length > 0);
    const [first] = pieces;
    if (!first) return undefined;
    return [[first.subarray(0, half(first.length))], ...args.slice(1)];
  }
  if (name === 'read' || (name === 'write' && typeof args[0] === 'object')) {
    const [buffer, offset = 0, length, ...rest] = args as [Uint8Array, number?, number?];
    return [buffer, offset, half(length ?? buffer.length - offset), ...rest];
  }
  if (name === 'write' || name === 'writeFile') {
    const at = isMethod ? 0 : 1;
    const text = String(args[at]);
    return args.with(at, text.slice(0, half(text.length)));
  }
  return undefined;
}

export class FaultyFiles {
  readonly #root: string;
  readonly #handles = new WeakMap<object, string>();
  readonly #restore: (() => void)[] = [];
  #plan: PlannedFault | undefined;
  #onCall: ((call: Call) => void | Promise<void>) | undefined;
  #errorOf: ErrorOf | undefined;
  #count = 0;
  #struck: string | undefined;

  private constructor(root: string) {
    this.#root = root;
  }

  /** Patches the file system of this process for paths below `root`. */
  static async install(root: string): Promise<FaultyFiles> {
    const files = new FaultyFiles(root);
    const probe = await fs.promises.open('/dev/null', 'r');
    const prototype = Object.getPrototypeOf(probe) as Target;
    await probe.close();
    files.#patch(fs.promises as unknown as Target, FUNCTIONS, files.#ofFunction.bind(files));
    files.#patch(prototype, METHODS, files.#ofMethod.bind(files));
    syncBuiltinESMExports();
    return files;
  }

  uninstall(): void {
    for (const undo of this.#restore.splice(0)) undo();
    syncBuiltinESMExports();
  }

  /** Counts from 0 again, with this fault planned. Without a plan it only counts. */
  arm(plan?: PlannedFault): void {
    this.#plan = plan;
    this.#count = 0;
    this.#struck = undefined;
  }

  /**
   * Cancels the fault.
   *
   * @returns the number of operations since {@link arm}, and the first that failed.
   */
  disarm(): { readonly operations: number; readonly struck: string | undefined } {
    this.#plan = undefined;
    return { operations: this.#count, struck: this.#struck };
  }

  /** Calls `onCall` before every operation, which waits for it. */
  watch(onCall: (name: string, count: number) => void | Promise<void>): void {
    this.#onCall = (call) => onCall(call.name, this.#count);
  }

  /**
   * Makes each operation fail for which `errorOf` gives a code. A code that libuv does not know has
   * the form `Unknown system error -116`.
   */
  failWhere(errorOf: ErrorOf): void {
    this.#errorOf = errorOf;
  }

  #patch(
    target: Target,
    names: readonly string[],
    wrap: (name: string, original: Operation) => Operation,
  ): void {
    for (const name of names) {
      const original = target[name];
      if (!original) throw new Error(`no ${name} to patch`);
      target[name] = wrap(name, original);
      this.#restore.push(() => (target[name] = original));
    }
  }

  #ofFunction(name: string, original: Operation): Operation {
    return async (...args) => {
      const path = [args[0], args[1]].find(
        (arg): arg is string => typeof arg === 'string' && arg.startsWith(this.#root),
      );
      if (path === undefined) return await original(...args);
      const run = (given: unknown[]): Promise<unknown> => original(...given);
      const result = await this.#call({ name, path, args, run });
      if (name === 'open') this.#adopt(result as fs.promises.FileHandle, path);
      return result;
    };
  }

  /** `close` is a property of each handle, not of their prototype. */
  #adopt(handle: fs.promises.FileHandle, path: string): void {
    this.#handles.set(handle, path);
    const close = handle.close.bind(handle);
    handle.close = async () => {
      await this.#call({ name: 'close', path, args: [], run: close });
    };
  }

  #ofMethod(name: string, original: Operation): Operation {
    const { handles, call } = { handles: this.#handles, call: this.#call.bind(this) };
    return async function (this: object, ...args: unknown[]) {
      const path = handles.get(this);
      const run = (given: unknown[]): Promise<unknown> => original.apply(this, given);
      return path === undefined
        ? await run(args)
        : await call({ name, path, args, run, isMethod: true });
    };
  }

  async #call(call: Call): Promise<unknown> {
    this.#count++;
    await this.#onCall?.(call);
    const code = this.#errorOf?.(call.name, call.path, call.args);
    if (code !== undefined) throw errnoError(code, call);
    const { fault, nth } = this.#plan ?? { fault: 'short', nth: Infinity };
    if (this.#count < nth) return await call.run(call.args);
    if (fault === 'short') return await this.#short(call, this.#count === nth);
    const isOnce = fault === 'EIO' || fault === 'late EIO';
    const concerns = isOnce
      ? this.#count === nth
      : fault === 'gone' || (fault === 'ENOSPC' ? needsSpace(call) : isChange(call));
    if (!concerns) return await call.run(call.args);
    this.#struck ??= `${call.name} ${call.path}`;
    return await this.#fail(call, fault);
  }

  async #short(call: Call, isNow: boolean): Promise<unknown> {
    const isPositional = call.name === 'read' || call.name === 'write' || call.name === 'writev';
    const args = isNow && isPositional ? partArgs(call) : undefined;
    if (args) this.#struck ??= `${call.name} ${call.path}`;
    return await call.run(args ?? call.args);
  }

  async #fail(call: Call, fault: Exclude<FileFault, 'short'>): Promise<never> {
    // A close that fails closes the handle as well.
    const isDone = fault === 'late EIO' || call.name === 'close';
    if (isDone) {
      const result = await call.run(call.args);
      if (call.name === 'open') await (result as fs.promises.FileHandle).close();
    } else if (fault === 'ENOSPC' && call.name.startsWith('write')) {
      const part = partArgs(call);
      if (part) await call.run(part);
    }
    throw errnoError(fault === 'gone' || fault === 'late EIO' ? 'EIO' : fault, call);
  }
}
