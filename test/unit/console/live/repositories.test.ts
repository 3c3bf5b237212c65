/** Listings of repositories: growth, time limits, what is kept. */
import { describe, expect, it } from 'vitest';
import { RepositoryAccess } from '../../../../src/console/live/repositoryAccess.ts';
import { growthOf, RepositoryRows } from '../../../../src/console/live/repositoryRows.ts';
import type { RepositoryConfig } from '../../../../src/jobs/jobFile.ts';
import { Repository } from '../../../../src/repository/repository.ts';
import { useTempFolder } from '../../../helpers/tempFolder.ts';

const temp = useTempFolder();

function configOf(name: string): RepositoryConfig {
  const none = { key: undefined, cache: undefined, immutable: undefined };
  return { name, place: temp.path(name), ...none, noLock: false };
}

async function made(name: string): Promise<RepositoryConfig> {
  const config = configOf(name);
  await (await Repository.openOrCreate(config.place, {})).close();
  return config;
}

async function never(): Promise<never> {
  return await new Promise<never>(() => {});
}

async function itself(repository: Repository): Promise<Repository> {
  return await Promise.resolve(repository);
}

describe('growth', () => {
  it('is the size at the end of each day that has points', () => {
    expect(
      growthOf([
        { createdAt: '2026-05-03T01:00:00.000Z', fileBytes: 4 },
        { createdAt: '2026-05-01T01:00:00.000Z', fileBytes: 1 },
        { createdAt: '2026-05-01T23:59:59.999Z', fileBytes: 2 },
      ]),
    ).toEqual([
      { day: '2026-05-01', storedBytes: 3 },
      { day: '2026-05-03', storedBytes: 7 },
    ]);
  });
});

describe('a repository that does not answer', () => {
  it('fails after the limit, and at once until its request has ended', async () => {
    await using access = new RepositoryAccess(200);
    const config = await made('main');
    const answers: (() => void)[] = [];
    const slow = new Promise<void>((resolve) => void answers.push(resolve));
    const hung = access.use(config, async () => await slow);

    await expect(hung).rejects.toMatchObject({
      code: 'REPOSITORY_UNREACHABLE',
      message: expect.stringContaining('no answer within') as string,
    });
    await expect(access.use(config, never)).rejects.toThrow('it still does not answer');
    answers[0]?.();
    const root = async (): Promise<string> => (await access.use(config, itself)).root;
    await expect.poll(async () => await root().catch(() => '')).toBe(config.place);
  });

  it('is a row with a problem, and does not hold up the others', async () => {
    await using access = new RepositoryAccess(60_000);
    const [good, bad] = [await made('good'), await made('bad')];
    void access.use(bad, never).catch(() => {});
    // Its listing waits too.
    const use = access.use.bind(access);
    access.use = async (config, work) => (config === bad ? await never() : await use(config, work));
    const rows = new RepositoryRows({ access, nowMs: () => 0, pageWaitMs: 30 });

    expect(await rows.rows([bad, good])).toMatchObject([
      { name: 'bad', problem: 'it has not answered yet' },
      { name: 'good', vmCount: 0, growth: [] },
    ]);
  });
});

describe('an open repository', () => {
  it('is used again', async () => {
    await using access = new RepositoryAccess();
    const config = await made('main');

    expect(await access.use(config, itself)).toBe(await access.use(config, itself));
  });

  it('that could not be opened is tried again', async () => {
    await using access = new RepositoryAccess();
    const config = configOf('main');

    await expect(access.use(config, itself)).rejects.toMatchObject({
      code: 'REPOSITORY_NOT_FOUND',
    });
    await made('main');
    expect((await access.use(config, itself)).root).toBe(config.place);
  });
});

describe('a listing', () => {
  it('is kept for some minutes, and read again after a run', async () => {
    await using access = new RepositoryAccess();
    const config = await made('main');
    let nowMs = 0;
    let reads = 0;
    const use = access.use.bind(access);
    access.use = async (one, work) => {
      reads++;
      return await use(one, work);
    };
    const rows = new RepositoryRows({ access, nowMs: () => nowMs });
    await rows.rows([config]);
    await rows.rows([config]);

    expect(reads).toBe(1);
    rows.refresh(config.place);
    await rows.rows([config]);
    expect(reads).toBe(2);
    nowMs += 6 * 60_000;
    await rows.rows([config]);
    expect(reads).toBe(3);
  });
});
