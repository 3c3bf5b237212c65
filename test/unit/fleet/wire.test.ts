/** What goes over the queue: names, job data, events and results, also wrong ones. */
import { describe, expect, it } from 'vitest';
import {
  BackupError,
  CancelledError,
  ERROR_CLASSES,
  RepositoryError,
  UsageError,
} from '../../../src/core/errors.ts';
import { queueFailure } from '../../../src/fleet/connection.ts';
import { failureOf, failureSchema, plainFailure } from '../../../src/fleet/failure.ts';
import { decodeBatch, encodeBatch, type FeedEvent } from '../../../src/fleet/feed.ts';
import { differingKeys, jobDigests } from '../../../src/fleet/jobDigests.ts';
import { checkLabel, sessionId } from '../../../src/fleet/keys.ts';
import { decodeOutcome, encodeOutcome } from '../../../src/fleet/outcome.ts';
import { parseQueueUrl } from '../../../src/fleet/queueUrl.ts';
import { goodVm, jobWith } from '../../helpers/jobs/runs.ts';

describe('the address of a queue', () => {
  it.each([
    ['redis://localhost', { host: 'localhost', port: 6379, db: 0 }, false],
    ['redis://user@10.0.0.1:7000/3', { host: '10.0.0.1', port: 7000, db: 3 }, false],
    ['rediss://[::1]:6380', { host: '::1', port: 6380, db: 0 }, true],
    ['unix:///run/redis.sock', { path: '/run/redis.sock' }, false],
  ])('is parsed: %s', (url, server, isTls) => {
    expect(parseQueueUrl(url)).toMatchObject({ server, isTls });
  });

  it.each([
    '',
    'localhost:6379',
    'http://localhost',
    'redis://',
    'redis://localhost/name',
    'redis://localhost?password=canary',
    'redis://user:canary@localhost',
    'unix://relative/path',
    'unix:///',
  ])('is refused: %s', (url) => {
    const text = ((): string => {
      try {
        return JSON.stringify(parseQueueUrl(url));
      } catch (error) {
        expect(error).toBeInstanceOf(UsageError);
        return String(error);
      }
    })();

    expect(text).toMatch(/^UsageError: --queue/);
    expect(text).not.toContain('canary');
  });
});

describe('names', () => {
  it('of sessions differ by run, VM and attempt, and hold no colon', () => {
    const vm = { runId: 'run', label: 'web: 01', vmId: '', attempt: 1 };
    const ids = [
      sessionId(vm),
      sessionId({ ...vm, attempt: 2 }),
      sessionId({ ...vm, label: 'web: 02' }),
      sessionId({ ...vm, vmId: 'id-1' }),
      sessionId({ ...vm, vmId: 'a:b' }),
      sessionId({ ...vm, runId: 'other' }),
    ];

    expect(new Set(ids.slice(0, 4)).size).toBe(4);
    expect(ids.join('')).not.toContain(':');
    expect(ids[4]).toBe(ids[0]);
  });

  it.each(['', 'site', 'a b', 'a:b', '-a=b', 'a=b=c', `a=${'b'.repeat(65)}`])(
    'of labels are checked: "%s"',
    (label) => {
      expect(() => checkLabel(label)).toThrow(UsageError);
    },
  );
});

describe('an error of the server', () => {
  it.each([
    ['NOAUTH HELLO must be called', 'the server asks for a password', '--queue-password-file'],
    ['WRONGPASS invalid pair', 'WRONGPASS invalid pair', 'check --queue-password-file'],
  ])('%s is refused, with a hint', (text, message, hint) => {
    const error = queueFailure('redis://queue', new Error(text));

    expect(error.code).toBe('QUEUE_AUTH_REFUSED');
    expect(error.message).toContain(message);
    expect(error.hint).toContain(hint);
  });

  it('names TLS only where the URL asks for it', () => {
    const [tls, plain, socket] = ['rediss://queue', 'redis://queue', 'unix:///socket'].map(
      (place) => queueFailure(place, new Error('no answer')).hint,
    );

    expect(tls).toContain('--queue-ca');
    expect([plain, socket].join(' ')).not.toContain('--queue-ca');
  });
});

describe('digests of a job', () => {
  const job = jobWith();

  it('are equal for equal jobs, also with other paths and threads', () => {
    const { engine, repository, backup } = job;
    const other = {
      ...job,
      engine: { ...engine, url: `${engine.url}/`, password: { path: '/x', credential: 'x' } },
      repository: { ...repository, place: '/mnt/backup' },
      backup: { ...backup, workers: 3 },
    };

    expect(differingKeys(jobDigests(job), jobDigests(other))).toEqual([]);
  });

  it('tell what differs, and not the values', () => {
    const other = {
      ...job,
      excludeDisks: ['scratch'],
      engine: { ...job.engine, username: 'other' },
    };

    expect(differingKeys(jobDigests(job), jobDigests(other))).toEqual([
      'engine.username',
      'excludeDisks',
    ]);
    expect(JSON.stringify(jobDigests(job))).not.toContain(job.engine.username);
    expect(differingKeys({ ...jobDigests(job), 'backup.new': 'x' }, jobDigests(job))).toEqual([
      'backup.new',
    ]);
  });
});

describe('an error', () => {
  it.each(ERROR_CLASSES.map((Class) => [Class.prototype.name, Class] as const))(
    'of class %s comes back as it was',
    (name, Class) => {
      const error = new Class('REPOSITORY_LOCKED', 'held', { hint: 'wait', retryable: true });
      const back = failureOf(failureSchema.parse(JSON.parse(JSON.stringify(plainFailure(error)))));

      expect(back).toBeInstanceOf(Class);
      expect(back).toMatchObject({
        name,
        code: 'REPOSITORY_LOCKED',
        message: 'held',
        hint: 'wait',
        retryable: true,
      });
    },
  );

  it('of an abort is a cancellation', () => {
    const signal = AbortSignal.abort();

    expect(failureOf(plainFailure(signal.reason, signal))).toBeInstanceOf(CancelledError);
  });

  it('that is long is cut', () => {
    const error = new RepositoryError('REPOSITORY_IO', 'x'.repeat(100_000));

    expect(failureSchema.safeParse(plainFailure(error)).success).toBe(true);
    expect(failureOf(plainFailure(error))).toBeInstanceOf(BackupError);
  });
});

describe('a result', () => {
  it.each([
    '',
    'null',
    '[]',
    '{"report":{}}',
    '{"failure":{"code":"NO_SUCH"}}',
    '{"isReturned":1}',
  ])('that is none is refused: %s', (text) => {
    expect(decodeOutcome(text)).toBeUndefined();
  });

  it('that is too large comes without block maps and with fewer messages', () => {
    const { report } = goodVm('web01');
    if (!report) throw new Error('there is no report');
    const message = { code: 'CBT-101', level: 'warn', text: 'x'.repeat(1000), resolution: '' };
    const messages = Array.from({ length: 5000 }, () => message as never);
    const decoded = decodeOutcome(encodeOutcome({ report: { ...report, messages } }));

    expect(decoded).toMatchObject({ report: { pointId: report.pointId } });
    expect(decoded && 'report' in decoded && decoded.report.messages.length).toBe(200);
  });
});

describe('events', () => {
  const session = { sessionId: 'session-1', vmName: 'web01', vmId: 'id' };
  const events: readonly FeedEvent[] = [
    { type: 'status', text: 'waits' },
    { type: 'progress', event: { type: 'phase', phase: 'reading', ...session } },
    {
      type: 'message',
      message: { code: 'CBT-101', level: 'warn', text: 'text', resolution: 'None.' },
    },
  ];

  it('come back as they were', () => {
    expect(decodeBatch(encodeBatch(events))).toEqual(events);
  });

  it('that are wrong are left out', () => {
    const [good] = events;
    const wrong = [null, 1, { type: 'other' }, { type: 'status' }, good, { type: 'progress' }];

    expect(decodeBatch(JSON.stringify(wrong))).toEqual([good]);
    expect(decodeBatch('{')).toEqual([]);
    expect(decodeBatch('{}')).toEqual([]);
    expect(decodeBatch(`[${'1,'.repeat(2_000_000)}1]`)).toEqual([]);
  });

  it('that are many go without progress, and keep their messages', () => {
    const many = Array.from({ length: 10_000 }, () => events[1] as FeedEvent);
    const decoded = decodeBatch(encodeBatch([...many, ...events]));

    expect(decoded.map(({ type }) => type)).toEqual(['message']);
  });
});
