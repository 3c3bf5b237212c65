/** The arrows of ARCHITECTURE.md, read off the import lines of every folder. */
import { statSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type Arrows,
  circlesOf,
  filesBelow,
  foldersOf,
  importedFiles,
  MAX_FILES_PER_FOLDER,
  readImports,
  wrongArrows,
} from '../helpers/importGraph.ts';

const SRC = path.resolve(import.meta.dirname, '../../src');

const DATA_PATH = ['core', 'compute', 'compute/codecs', 'compute/kernels', 'flow'];
const STORE = ['store', 'store/folder'];
const CONTAINER = ['container/format', 'container/read', 'container/write'];
const REPOSITORY = [
  'repository',
  'repository/damage',
  'repository/files',
  'repository/lease',
  'repository/retention',
];
const OVIRT = ['ovirt', 'ovirt/engine', 'ovirt/imageio', 'ovirt/lifecycle'];
/** Folders that every folder of sessions may import. */
const BELOW_SESSIONS = [
  ...DATA_PATH,
  'flow/stages',
  'flow/sinks',
  ...STORE,
  ...CONTAINER,
  ...REPOSITORY,
  ...OVIRT,
  'devices',
  'sessions/shared',
];

/** Folder → the other folders that it may import from. */
const ALLOWED: Arrows = {
  core: [],
  'compute/kernels': ['core'],
  'compute/codecs': ['core', 'compute'],
  compute: ['core', 'compute/codecs', 'compute/kernels'],
  flow: ['core', 'compute', 'compute/kernels'],
  'flow/stages': DATA_PATH,
  'flow/sinks': DATA_PATH,
  store: ['core', 'store/folder', 'store/s3', 'store/seal'],
  'store/folder': ['core', 'store'],
  'store/s3': ['core', 'store', 'store/s3/requests'],
  'store/s3/requests': ['core', 'store'],
  'store/seal': ['core', 'store', 'store/seal/stream'],
  'store/seal/stream': ['core', 'store', 'store/seal'],
  'container/format': [...DATA_PATH, ...STORE],
  'container/read': [...DATA_PATH, ...STORE, 'container/format'],
  'container/write': [...DATA_PATH, ...STORE, 'container/format', 'container/read'],
  repository: [...DATA_PATH, ...STORE, ...CONTAINER],
  'repository/damage': [...DATA_PATH, ...STORE, ...CONTAINER, 'repository'],
  'repository/files': [...DATA_PATH, ...STORE, ...CONTAINER, 'repository'],
  'repository/lease': ['core', 'repository', ...STORE],
  'repository/retention': [...DATA_PATH, ...STORE, ...CONTAINER, 'repository', 'repository/lease'],
  ovirt: ['core', 'flow'],
  'ovirt/engine': ['core', 'ovirt'],
  'ovirt/imageio': ['core', 'compute', 'flow', 'ovirt'],
  'ovirt/lifecycle': ['core', 'ovirt', 'ovirt/engine', 'ovirt/imageio'],
  devices: [...DATA_PATH, ...OVIRT],
  points: [...DATA_PATH, ...STORE, ...CONTAINER, ...REPOSITORY, 'sessions/shared', 'points/nbd'],
  'points/nbd': ['core', 'store', 'points', 'points/overlay'],
  'points/overlay': ['core', 'repository', ...STORE],
  'sessions/pipe': [
    ...BELOW_SESSIONS,
    'points',
    'sessions/cleanup',
    'sessions/backup',
    'sessions/backup/parent',
    'sessions/backup/vm',
  ],
  'sessions/guest': ['core', 'points', 'repository', ...STORE, 'sessions/shared'],
  'sessions/shared': BELOW_SESSIONS.filter((folder) => folder !== 'sessions/shared'),
  'sessions/inspect': BELOW_SESSIONS,
  'sessions/verify': [...BELOW_SESSIONS, 'sessions/history'],
  'sessions/files': [...BELOW_SESSIONS, 'sessions/inspect', 'sessions/restore', 'sessions/verify'],
  'sessions/retention': [...BELOW_SESSIONS, 'sessions/history'],
  'sessions/keys': ['core', 'repository', 'store', 'store/folder', 'store/seal'],
  'sessions/copy': [...BELOW_SESSIONS, 'sessions/history', 'sessions/retention', 'sessions/verify'],
  'sessions/restore': [...BELOW_SESSIONS, 'sessions/cleanup', 'sessions/history'],
  'sessions/cleanup': BELOW_SESSIONS,
  'sessions/backup/parent': BELOW_SESSIONS,
  'sessions/backup': [
    ...BELOW_SESSIONS,
    'sessions/backup/parent',
    'sessions/backup/vm',
    'sessions/history',
  ],
  'sessions/backup/vm': [
    ...BELOW_SESSIONS,
    'sessions/cleanup',
    'sessions/backup',
    'sessions/backup/parent',
    'sessions/history',
  ],
  'sessions/history': BELOW_SESSIONS,
  report: ['core', 'repository', 'sessions/*', 'jobs', 'report/page'],
  'report/page': ['core', 'repository', 'sessions/*', 'report'],
  jobs: ['core', 'compute', 'repository', 'repository/retention', 'store', 'sessions/*'],
  'jobs/config': [
    'core',
    'ovirt',
    'repository/retention',
    'store',
    'store/s3',
    'sessions/*',
    'jobs',
  ],
  'jobs/check': ['core', 'repository', 'store', 'store/seal', 'sessions/*', 'jobs', 'jobs/config'],
  'jobs/state': ['core', 'store', 'store/folder', 'jobs'],
  'jobs/notify': ['core', 'ovirt', 'store', 'report', 'jobs', 'jobs/config'],
  'jobs/metrics': ['core', 'store', 'store/folder', 'jobs'],
  'jobs/run': [
    ...BELOW_SESSIONS,
    'sessions/*',
    'report',
    'jobs',
    'jobs/config',
    'jobs/metrics',
    'jobs/notify',
    'jobs/run/places',
    'jobs/schedule',
    'jobs/state',
  ],
  'jobs/run/places': [],
  'jobs/schedule': ['core', 'jobs'],
  'jobs/daemon': [
    'core',
    'ovirt',
    'store',
    'sessions/*',
    'jobs',
    'jobs/config',
    'jobs/metrics',
    'jobs/notify',
    'jobs/run',
    'jobs/schedule',
    'jobs/state',
  ],
  'jobs/timers': ['core', 'jobs', 'jobs/config', 'jobs/schedule'],
  fleet: ['core', 'store', 'sessions/*', 'jobs', 'console'],
  'fleet/planner': ['core', 'store', 'sessions/*', 'jobs', 'jobs/run', 'console', 'fleet'],
  'fleet/worker': [
    'core',
    'compute',
    'ovirt',
    'ovirt/engine',
    'repository',
    'sessions/*',
    'jobs',
    'jobs/config',
    'jobs/run',
    'console',
    'fleet',
  ],
  console: [
    'core',
    'flow',
    'store',
    'sessions/*',
    'jobs',
    'jobs/daemon',
    'console/access',
    'console/api',
  ],
  'console/access': ['core', 'store', 'store/folder', 'console'],
  'console/api': ['core', 'console', 'console/access'],
  'console/live': [
    'core',
    'ovirt',
    'points',
    'repository',
    'store',
    'store/folder',
    'sessions/*',
    'report',
    'jobs',
    'jobs/config',
    'jobs/daemon',
    'jobs/schedule',
    'jobs/state',
    'console',
  ],
  // Files of the page import types of the product in comments alone: a browser sees nothing of it.
  'console/page': [
    'console',
    'jobs',
    'sessions/shared',
    'console/page/parts',
    'console/page/state',
    'console/page/vendor',
    'console/page/views',
  ],
  'console/page/vendor': [],
  'console/page/state': ['core', 'console', 'console/page', 'console/page/vendor'],
  'console/page/parts': [
    'console',
    'jobs',
    'sessions/shared',
    'console/page',
    'console/page/state',
    'console/page/vendor',
  ],
  'console/page/views': [
    'core',
    'console',
    'console/page',
    'console/page/parts',
    'console/page/state',
    'console/page/vendor',
  ],
  'cli/output': ['core', 'cli/output/progress', 'sessions/*', 'jobs'],
  'cli/output/jobs': ['core', 'report', 'cli/output', 'sessions/*', 'jobs', 'jobs/*'],
  'cli/output/progress': ['core', 'points', 'cli/output', 'sessions/*'],
  'cli/reference': ['core'],
  'cli/flags': ['core', 'cli', 'fleet', 'fleet/planner', 'ovirt', 'store', 'sessions/*'],
  'cli/commands': [
    'core',
    'store',
    'points',
    'cli',
    'cli/flags',
    'cli/output',
    'cli/output/progress',
    'cli/reference',
    'repository',
    'report',
    'ovirt',
    'sessions/*',
  ],
  'cli/commands/jobs': [
    'core',
    'repository',
    'store',
    'cli',
    'cli/flags',
    'cli/output',
    'cli/output/jobs',
    'cli/output/progress',
    'fleet/worker',
    'ovirt',
    'report',
    'sessions/*',
    'jobs',
    'jobs/*',
    'console',
    'console/access',
    'console/live',
  ],
  cli: [
    'core',
    'cli/commands',
    'cli/commands/jobs',
    'cli/flags',
    'cli/output',
    'ovirt',
    'sessions/*',
  ],
};

const FILES: readonly string[] = filesBelow(SRC).filter((file) => file.includes('/'));
const FOLDERS = foldersOf(FILES);
const IMPORTS = readImports(SRC, FILES);

function filesIn(folder: string): string[] {
  return FILES.filter((file) => path.posix.dirname(file) === folder);
}

describe('imports', () => {
  it.each(FOLDERS)('of %s follow the arrows', (folder) => {
    const wrong = filesIn(folder).flatMap((file) =>
      wrongArrows(ALLOWED, file, IMPORTS.get(file) ?? []),
    );

    expect(wrong).toEqual([]);
  });

  it('cover every folder of src', () => {
    expect(FOLDERS).toEqual(Object.keys(ALLOWED).toSorted());
  });

  it('name files that exist', () => {
    const missing = [...IMPORTS.values()]
      .flat()
      .filter((target) => !statSync(path.join(SRC, target), { throwIfNoEntry: false }));

    expect(missing).toEqual([]);
  });

  it('form no circle', () => {
    expect(IMPORTS.size).toBeGreaterThan(100);
    expect(circlesOf(IMPORTS)).toEqual([]);
  });

  it('that form a circle are seen by this test', () => {
    const imports = new Map([
      ['a/x.ts', ['b/y.ts']],
      ['b/y.ts', ['c/z.ts']],
      ['c/z.ts', ['b/y.ts']],
    ]);

    expect(circlesOf(imports)).toEqual(['b/y.ts → c/z.ts → b/y.ts']);
  });

  it.each([
    "import { connect } from '../flow/connect.ts';",
    "const { connect } = await import('../flow/connect.ts');",
  ])('in the wrong direction are seen by this test: %s', (source) => {
    const imported = importedFiles('core/x.ts', source);

    expect(wrongArrows(ALLOWED, 'core/x.ts', imported)).toEqual(['core/x.ts → flow']);
  });

  it('between two folders of a room are seen by this test', () => {
    const imported = importedFiles('container/read/y.ts', "import { x } from '../write/x.ts';");

    expect(wrongArrows(ALLOWED, 'container/read/y.ts', imported)).toEqual([
      'container/read/y.ts → container/write',
    ]);
  });
});

describe('folders of src', () => {
  it.each(FOLDERS)('%s has few files', (folder) => {
    expect(filesIn(folder).length).toBeLessThanOrEqual(MAX_FILES_PER_FOLDER);
  });
});
