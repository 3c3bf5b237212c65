import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { RepositoryError } from '../../../src/core/errors.ts';
import {
  createDurable,
  guardRepository,
  publishFile,
  readText,
  writeDurable,
} from '../../../src/store/folder/durableFile.ts';
import { NO_LINK_ERRNOS, withoutLinks } from '../../helpers/faults/noLinks.ts';
import { modeOf } from '../../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();

function osError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

describe('writeDurable', () => {
  test('makes a file for its owner alone and leaves nothing beside it', async () => {
    await writeDurable(temp.path('x'), 'first');

    expect(readFileSync(temp.path('x'), 'utf8')).toBe('first');
    expect(modeOf(temp.path('x'))).toBe('600');
    expect(readdirSync(temp.path())).toEqual(['x']);
  });

  test('replaces what is there, also beside a leftover', async () => {
    writeFileSync(temp.path('x'), 'a longer content from before');
    writeFileSync(temp.path('x.partial'), 'leftover of a killed process');

    await writeDurable(temp.path('x'), 'new');

    expect(readFileSync(temp.path('x'), 'utf8')).toBe('new');
    expect(readdirSync(temp.path())).toEqual(['x']);
  });

  test('fails with a code where there is no folder', async () => {
    const written = writeDurable(temp.path('none', 'x'), 'text');

    await expect(written).rejects.toMatchObject({ code: 'REPOSITORY_IO' });
  });
});

describe('createDurable', () => {
  test.each([undefined, ...NO_LINK_ERRNOS])(
    'lets the first writer win, also where links fail with %s',
    async (errno) => {
      const create = async (): Promise<void> => {
        await createDurable(temp.path('x'), 'first');
        await createDurable(temp.path('x'), 'second');
      };

      await (errno ? withoutLinks(errno, create) : create());

      expect(readFileSync(temp.path('x'), 'utf8')).toBe('first');
      expect([readdirSync(temp.path()), modeOf(temp.path('x'))]).toEqual([['x'], '600']);
    },
  );

  test('passes other errors of a link on', async () => {
    const created = withoutLinks('EACCES', () => createDurable(temp.path('x'), 'text'));

    await expect(created).rejects.toMatchObject({ code: 'REPOSITORY_IO' });
    expect(readdirSync(temp.path())).toEqual([]);
  });
});

describe('publishFile', () => {
  test('gives a file its final name', async () => {
    writeFileSync(temp.path('x.partial'), 'content');

    await publishFile(temp.path('x.partial'), temp.path('x'));

    expect(readdirSync(temp.path())).toEqual(['x']);
  });

  test('fails with a code when the file is gone', async () => {
    const published = publishFile(temp.path('x.partial'), temp.path('x'));

    await expect(published).rejects.toMatchObject({ code: 'REPOSITORY_IO' });
  });
});

describe('readText', () => {
  test('gives the whole text, also of a file without a size', async () => {
    const text = 'ä'.repeat(100_000);
    writeFileSync(temp.path('text'), text);

    expect(await readText(temp.path('text'), 200_000)).toBe(text);
    expect(await readText('/proc/self/cmdline', 100_000)).toContain('node');
    // Its size is 0 too, and it is longer than the first read.
    expect(await readText('/proc/self/limits', 100_000)).toMatch(/^Limit[^]{1023,}\n$/);
  });

  test('refuses a file that is too long, without reading it', async () => {
    writeFileSync(temp.path('long'), '');
    truncateSync(temp.path('long'), 2 ** 40);

    await expect(readText(temp.path('long'), 1000)).rejects.toMatchObject({
      code: 'REPOSITORY_METADATA_INVALID',
      message: `${temp.path('long')} has more than 1000 B; no file of a repository is so large`,
    });
  });

  test('refuses a file without a size that goes on', async () => {
    await expect(readText('/dev/zero', 100_000)).rejects.toMatchObject({
      code: 'REPOSITORY_METADATA_INVALID',
    });
  });
});

describe('guardRepository', () => {
  test.each([
    ['ENOSPC', 'REPOSITORY_FULL'],
    ['EDQUOT', 'REPOSITORY_FULL'],
    ['EACCES', 'REPOSITORY_IO'],
    ['EIO', 'REPOSITORY_IO'],
  ])('turns %s into %s and keeps the cause', async (errno, code) => {
    const cause = osError(errno);

    const guarded = guardRepository('test', () => Promise.reject(cause));

    await expect(guarded).rejects.toMatchObject({ code, cause });
  });

  test('lets typed errors and unknown ones pass', async () => {
    const [typed, unknown] = [new RepositoryError('REPOSITORY_LOCKED', 'x'), new TypeError('x')];

    await expect(guardRepository('test', () => Promise.reject(typed))).rejects.toBe(typed);
    await expect(guardRepository('test', () => Promise.reject(unknown))).rejects.toBe(unknown);
  });
});
