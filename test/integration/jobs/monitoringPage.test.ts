/** The examples of docs/monitoring.md are true. */
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readJobFile } from '../../../src/jobs/config/readJobFile.ts';
import { signatureOf } from '../../../src/jobs/notify/webhook.ts';
import { tellRun } from '../../helpers/jobs/notifications.ts';
import { receiverOf, runOf } from '../../helpers/jobs/runs.ts';
import { startWebhookServer } from '../../helpers/jobs/webhookServer.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const PAGE = readFileSync('docs/monitoring.md', 'utf8');
const SECRET = 'key of the hook';

const folder = useTempFolder();

/** Contents of the fenced blocks of a language. */
function fenced(language: string): string[] {
  const pattern = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms');
  return [...PAGE.matchAll(pattern)].map(([, content = '']) => content);
}

/** Names of the fields of a value, also within lists, as `run.vms.name`. */
function fieldsOf(value: unknown, prefix = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => fieldsOf(item, prefix));
  if (typeof value !== 'object' || value === null) return [prefix];
  return Object.entries(value).flatMap(([name, item]) =>
    fieldsOf(item, prefix === '' ? name : `${prefix}.${name}`),
  );
}

type IsGenuine = (header: string, body: string, secret: string, nowSeconds?: number) => boolean;

async function isGenuineOfPage(): Promise<IsGenuine> {
  const [source = ''] = fenced('js');
  const file = folder.path('genuine.mjs');
  writeFileSync(file, source);
  const { isGenuine } = (await import(pathToFileURL(file).href)) as { isGenuine: IsGenuine };
  return isGenuine;
}

describe('docs/monitoring.md', () => {
  it('has a part of a job file that can be read', async () => {
    const [notify = '', metrics = ''] = fenced('yaml');
    const file = folder.path('ovirt-cbt.yaml');
    const job = '    engine: prod\n    repository: main\n    vms: { all: true }\n';
    const others = `
engines: { prod: { url: 'https://e/ovirt-engine', username: a@internal, passwordFile: pw } }
repositories: { main: { path: /backup } }
`;
    writeFileSync(file, notify.replace('  nightly:\n', `  nightly:\n${job}`) + metrics + others);

    const { jobs, metricsFile } = await readJobFile(file);

    const receivers = jobs.get('nightly')?.notify ?? [];
    expect(receivers.map(({ name }) => name)).toEqual(['ops', 'chat', 'pager']);
    expect(receivers.every(({ on }) => on.length > 0)).toBe(true);
    expect(metricsFile).toMatch(/ovirt-cbt\.prom$/);
  });

  it('shows all fields of a document, and no other', async () => {
    await using server = await startWebhookServer();
    const webhook = { url: server.url, secret: undefined, caFile: undefined, timeoutMs: 5000 };
    const report = runOf('failure', { vms: runOf('failure').vms.slice(0, 1) });
    await tellRun([receiverOf({ webhook })], { report });

    const [shown = ''] = fenced('json');
    const sent = JSON.parse(server.calls[0]?.body ?? '') as unknown;

    expect(fieldsOf(JSON.parse(shown)).toSorted()).toEqual(fieldsOf(sent).toSorted());
  });

  it('has code that knows a genuine document', async () => {
    const isGenuine = await isGenuineOfPage();
    const body = '{"text":"Ä"}';
    const now = new Date();
    const header = signatureOf(SECRET, body, now);
    const seconds = now.getTime() / 1000;

    expect(isGenuine(header, body, SECRET)).toBe(true);
    expect(isGenuine(header, `${body} `, SECRET)).toBe(false);
    expect(isGenuine(header, body, 'other')).toBe(false);
    expect(isGenuine(header, body, SECRET, seconds + 301)).toBe(false);
    expect(isGenuine(header.replace(/t=\d+/, `t=${Math.floor(seconds) + 1}`), body, SECRET)).toBe(
      false,
    );
    expect(isGenuine('', body, SECRET)).toBe(false);
  });
});
