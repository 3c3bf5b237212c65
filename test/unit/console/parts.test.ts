/** Parts of the console that need no server: paths, errors, the OpenAPI document, files. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readTlsFiles, readTokens } from '../../../src/console/access/consoleFiles.ts';
import { openApiDocument } from '../../../src/console/api/openApi.ts';
import { API_BASE, ROUTES } from '../../../src/console/api/routes.ts';
import { readPageFiles } from '../../../src/console/pageFiles.ts';
import { API_CODES, ApiError, problemOf } from '../../../src/console/problems.ts';
import { pathOf } from '../../../src/console/requestTarget.ts';
import {
  EngineError,
  ERROR_CODES,
  InternalError,
  RepositoryError,
  UsageError,
} from '../../../src/core/errors.ts';
import { parseListen } from '../../../src/jobs/daemon/statusServer.ts';
import { makePage } from '../../helpers/console/consoleBench.ts';
import { makeCertificates } from '../../helpers/nbd/certificates.ts';
import { tempFolderOfTest } from '../../helpers/tempFolder.ts';

describe('the path of a request', () => {
  it.each([
    ['/', '/'],
    ['/a/b?c=d', '/a/b'],
    ['/a%2Fb', '/a%2Fb'],
    ['/a?b?c=%25', '/a'],
    ['/...', '/...'],
  ])('%s is %s', (target, expected) => {
    expect(pathOf(target)).toBe(expected);
  });

  it.each(['', 'a', '*', '/..', '/.', '/%2E%2e', '/a/../b', '/%0A', '/a#b', '/ä', '/a?%', '/\\'])(
    '%s is none',
    (target) => {
      expect(pathOf(target)).toBeUndefined();
    },
  );
});

describe('errors', () => {
  it.each([
    [new UsageError('USAGE_NOT_FOUND', 'x'), 404],
    [new UsageError('USAGE_INVALID_OPTION', 'x'), 400],
    [new UsageError('USAGE_OUTPUT_EXISTS', 'x'), 409],
    [new UsageError('JOB_RUNNING', 'x'), 409],
    [new RepositoryError('REPOSITORY_LOCKED', 'x'), 409],
    [new RepositoryError('REPOSITORY_IO', 'x'), 502],
    [new EngineError('ENGINE_UNREACHABLE', 'x'), 502],
    [new InternalError('WORKER_CRASHED', 'x'), 500],
  ])('%s has status %i', (error, status) => {
    const answer = problemOf(error);

    expect(answer.status).toBe(status);
    expect(answer.body.error.code).toBe(error.code);
  });

  it('of the API have codes that no other error has, and all are described', () => {
    const described = readFileSync('docs/console-api.md', 'utf8').matchAll(
      /^\| `(API_\w+)` \| (\d+) /gm,
    );

    expect([...described].map(([, code, status]) => [code, Number(status)])).toEqual(
      Object.entries(API_CODES),
    );
    expect(ERROR_CODES.filter((code) => code in API_CODES)).toEqual([]);
  });

  it('that are internal keep their text', () => {
    for (const error of [
      new InternalError('INTERNAL_INVARIANT', 'secret'),
      new Error('secret'),
      1,
    ]) {
      expect(JSON.stringify(problemOf(error))).not.toContain('secret');
    }
    expect(problemOf(new ApiError('API_METHOD', 'text', 'hint')).body.error.message).toBe('text');
  });
});

describe('the OpenAPI document', () => {
  const text = JSON.stringify(openApiDocument('1.2.3'));
  const document = JSON.parse(text) as {
    openapi: string;
    paths: Record<string, Record<string, { responses: Record<string, unknown> }>>;
    components: { schemas: Record<string, unknown> };
  };

  it('has each route', () => {
    const listed = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    const routes = Object.values(ROUTES).map(
      ({ method, path }) => `${method} ${API_BASE}${path.replaceAll(/:(\w+)/g, '{$1}')}`,
    );

    expect(document.openapi).toBe('3.1.0');
    expect(listed.toSorted()).toEqual(routes.toSorted());
  });

  it('names only schemas that it has, and uses all', () => {
    const used = new Set(
      [...text.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, id]) => id),
    );

    // Events are described by name only.
    expect(new Set([...used, 'ConsoleEvent'])).toEqual(
      new Set(Object.keys(document.components.schemas)),
    );
  });

  it('has nothing that means something else in OpenAPI', () => {
    expect(text).not.toMatch(/"readOnly":true|"\$id"|"\$schema"/);
  });
});

function file(name: string, content: string, mode = 0o600): string {
  const made = path.join(tempFolderOfTest(), name);
  writeFileSync(made, content);
  chmodSync(made, mode);
  return made;
}

describe('files of tokens', () => {
  const good = 'a-good-token-0123456789';

  it('hold one line each', async () => {
    const operator = file('operator', `${good}\n`);

    expect(await readTokens({ operator })).toEqual({ operator: good, readOnly: undefined });
    expect(await readTokens({ readOnly: file('credential', 'r'.repeat(16), 0o400) })).toEqual({
      operator: undefined,
      readOnly: 'r'.repeat(16),
    });
  });

  it.each([
    ['too short', 'x'.repeat(15), 'at least 16'],
    ['too long', 'x'.repeat(4097), 'at least 16'],
    ['empty', '', 'at least 16'],
    ['of two lines', `${good}\n${good}`, 'at least 16'],
    ['with a space', `${good} x`, 'without spaces'],
    ['with other letters', `${good}ä`, 'ASCII'],
  ])('%s are refused, and the token is not told', async (_, content, text) => {
    const error = await readTokens({ operator: file('token', content) }).catch((e: unknown) => e);

    expect(error).toMatchObject({ code: 'USAGE_INVALID_OPTION' });
    expect(String(error)).toContain(text);
    if (content !== '') expect(String(error)).not.toContain(content);
  });

  it('that others can read are refused', async () => {
    await expect(readTokens({ operator: file('token', good, 0o644) })).rejects.toThrow(
      'can be read or changed by other users',
    );
  });

  it('must differ, and one is needed', async () => {
    const both = { operator: file('one', good), readOnly: file('two', `${good}\n`) };

    await expect(readTokens(both)).rejects.toThrow('are the same');
    await expect(readTokens({})).rejects.toThrow('needs a token');
  });
});

describe('files of TLS', () => {
  it('are a pair, and the key is private', async () => {
    const folder = makeCertificates(path.join(tempFolderOfTest(), 'tls'));
    const [cert, key, other] = ['server-cert.pem', 'server-key.pem', 'client-key.pem'].map((name) =>
      path.join(folder, name),
    ) as [string, string, string];
    for (const one of [key, other]) chmodSync(one, 0o600);
    const pair = await readTlsFiles(cert, key);

    expect(['localhost', '127.0.0.1', '192.0.2.1', 'evil.example'].map(pair.isNameOf)).toEqual([
      true,
      true,
      false,
      false,
    ]);
    await expect(readTlsFiles(cert, other)).rejects.toThrow('is not the key of');
    await expect(readTlsFiles(key, key)).rejects.toThrow('is not a certificate');
    chmodSync(key, 0o644);
    await expect(readTlsFiles(cert, key)).rejects.toThrow('can be read or changed by other users');
  });
});

describe('files of the page', () => {
  it('are those with a known type', async () => {
    const files = await readPageFiles(makePage());

    expect([...files.keys()].toSorted()).toEqual([
      '/',
      '/index.html',
      '/style.css',
      '/vendor/lib.js',
    ]);
  });
});

describe('--listen with TLS and a console', () => {
  it.each(['0.0.0.0:8484', '192.0.2.1:80', '[::]:8484', 'backup.example:8484'])(
    '%s is allowed',
    (text) => {
      expect(parseListen(text, true).port).toBeGreaterThan(0);
    },
  );
});
