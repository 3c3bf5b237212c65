/** What a user's compiler says about a chain in the wrong order, from the published types. */
import { spawnSync } from 'node:child_process';
import { symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { useSharedTempFolder } from '../helpers/tempFolder.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const TSC = path.join(ROOT, 'node_modules/typescript/bin/tsc');

const HEAD = `import {
  bytesOf, callbackSink, callbackStage, connect, createMemoryDevice, createPipeline, nullSink,
  type ComparedRecord, type DataBlock, type HashedBlock, type Source, type ZeroRun,
} from 'ovirt-cbt/stages';
export const unused = [bytesOf, callbackSink, callbackStage, connect, nullSink];
export type Unused = [ComparedRecord, DataBlock, HashedBlock, Source<ZeroRun>];
const pipeline = await createPipeline();
const disk = pipeline.disk(createMemoryDevice({ content: new Uint8Array(9) }));
`;

/** Programs by name. All are compiled in one project, with one run of tsc. */
const PROGRAMS = {
  stage: 'await disk.connect([disk.filter(), disk.compressor(), disk.reader()], nullSink());',
  function: `const keep = (record: ZeroRun): ZeroRun => record;
    await disk.connect([disk.filter(), disk.reader(), keep, disk.compressor()], nullSink());`,
  sink: 'await disk.connect([disk.filter(), disk.reader()], nullSink<ZeroRun>());',
  connect: `declare const source: Source<DataBlock>;
    await connect(source, [disk.filter(), disk.comparer()], nullSink());`,
  own: `const seen = new Set<bigint>();
    const own = callbackStage((record: ComparedRecord) =>
      record.kind !== 'hashed' || !seen.has(record.fingerprint)
        ? record
        : { kind: 'again' as const, offsetBytes: record.offsetBytes });
    const sink = callbackSink((record: ComparedRecord | { kind: 'again'; offsetBytes: number }) => {
      if (record.kind === 'hashed') console.log(bytesOf(record).length);
    });
    await disk.connect(
      [disk.filter(), disk.reader(), (record) => record, disk.comparer(), own], sink);`,
  slot: `export const open = (block: DataBlock) => block.slot.bytes;
    export const made: DataBlock['slot'] = {};`,
};

const folder = useSharedTempFolder();
let output = '';

beforeAll(() => {
  symlinkSync(ROOT, path.join(folder.make('node_modules'), 'ovirt-cbt'));
  const compilerOptions = {
    module: 'nodenext',
    target: 'es2023',
    lib: ['es2023', 'esnext.disposable'],
    strict: true,
    noEmit: true,
    types: ['node'],
    typeRoots: [path.join(ROOT, 'node_modules/@types')],
  };
  writeFileSync(folder.path('package.json'), '{ "type": "module" }');
  writeFileSync(folder.path('tsconfig.json'), JSON.stringify({ compilerOptions }));
  for (const [name, program] of Object.entries(PROGRAMS)) {
    writeFileSync(folder.path(`${name}.ts`), HEAD + program);
  }
  const args = [TSC, '-p', '.', '--pretty', 'false'];
  const cwd = folder.path('.');
  output = spawnSync(process.execPath, args, { cwd, encoding: 'utf8' }).stdout;
});

/** The messages about a program. Lines that only explain a message begin with blanks. */
function messagesOf(name: keyof typeof PROGRAMS): string[] {
  const parts = output.split(/^(?=\S+\.ts\()/m);
  const own = parts.filter((part) => part.startsWith(`${name}.ts(`));
  return own.flatMap((part) =>
    part
      .replace(/^.*?error TS\d+: /, '')
      .trimEnd()
      .split('\n'),
  );
}

/** Messages without the lines that explain them. */
function errorsOf(name: keyof typeof PROGRAMS): string[] {
  return messagesOf(name).filter((line) => !line.startsWith(' '));
}

describe('a program of a user', () => {
  it('finds no error in the published types', () => {
    expect(output).not.toMatch(/\.d\.ts\(/);
  });

  it('gets one error at the stage that does not fit', () => {
    const stage = 'Stage<ComparedRecord, SinkBlock>';
    const wrong = 'WrongStage<{ takes: ComparedRecord; given: WantedBlock | ZeroRun; }>';

    expect(messagesOf('stage')).toEqual([
      `Type '${stage}' is not assignable to type '${stage} & ${wrong}'.`,
      `  Property ''this stage does not take what it is given'' is missing in type '${stage}' but required in type '${wrong}'.`,
    ]);
  });

  it('gets one error at a function that does not fit', () => {
    const [error = '', ...others] = errorsOf('function');

    expect(error).toContain("'(record: ZeroRun) => ZeroRun' is not assignable");
    expect(error).toContain('WrongStage<{ takes: ZeroRun; given: DataBlock | ZeroRun; }>');
    expect(others).toEqual([]);
  });

  it('gets one error at a sink that does not fit', () => {
    expect(messagesOf('sink')).toEqual([
      "Argument of type 'Sink<ZeroRun>' is not assignable to parameter of type 'Sink<DataBlock | ZeroRun>'.",
      "  Type 'DataBlock | ZeroRun' is not assignable to type 'ZeroRun'.",
      "    Property 'blockCount' is missing in type 'DataBlock' but required in type 'BlockRun<\"zero\">'.",
    ]);
  });

  it('gets the same from connect', () => {
    const [error = '', ...others] = errorsOf('connect');

    expect(error).toContain('WrongStage<{ takes: PlannedRun; given: DataBlock; }>');
    expect(others).toEqual([]);
  });

  it('compiles with stages and records of its own', () => {
    expect(messagesOf('own')).toEqual([]);
  });

  it('sees nothing of the slots, and makes none', () => {
    expect(messagesOf('slot')).toEqual([
      "Property 'bytes' does not exist on type 'Slot'.",
      "Property '#private' is missing in type '{}' but required in type 'Slot'.",
    ]);
  });
});
