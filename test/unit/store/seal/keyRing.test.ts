/** The key ring: who opens it, what forgery meets, and its changes. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { generateIdentity, identityToRecipient, armor, Decrypter } from 'age-encryption';
import { describe, expect, it } from 'vitest';
import {
  decodeKeyFile,
  decodeRecoveryKey,
  encodeRecoveryKey,
  generateKeyFile,
  type KeySecret,
  readKeyFile,
  type SlotSecret,
} from '../../../../src/store/seal/keyFile.ts';
import {
  createKeyRing,
  loadRing,
  openKeyRing,
  recipientsOf,
  recoveryFileOf,
  RING_FILE,
  storeRing,
} from '../../../../src/store/seal/keyRing.ts';
import {
  addRecipient,
  addSecret,
  type OpenRing,
  removeSlot,
  rotateRing,
} from '../../../../src/store/seal/ringFile.ts';
import { makeSeal } from '../../../../src/store/openStore.ts';
import { sealStore } from '../../../../src/store/seal/sealStore.ts';
import type { Store } from '../../../../src/store/store.ts';
import { expectCode, expectCodeSync } from '../../../helpers/codes.ts';
import { MemoryStore } from '../../../helpers/repository/memoryStore.ts';
import { useTempFolder } from '../../../helpers/tempFolder.ts';

const COST = 1024;
const PHRASE = 'correct horse battery';
const OTHER = 'another passphrase';
const temp = useTempFolder();

function secretOf(passphrase: string): SlotSecret {
  return { kind: 'passphrase', passphrase };
}

async function sealedStore(): Promise<MemoryStore> {
  const store = new MemoryStore();
  await createKeyRing(store, keyFile(PHRASE), COST);
  return store;
}

async function change(
  store: MemoryStore,
  work: (ring: OpenRing) => Promise<OpenRing> | OpenRing,
  secret: KeySecret = secretOf(PHRASE),
): Promise<OpenRing> {
  const before = await loadRing(store, secret);
  const ring = await work(before);
  await storeRing(store, ring, before);
  return ring;
}

function idsOf({ keys }: OpenRing): string[] {
  return keys.map(({ id }) => id);
}

function keyFile(text: string, mode = 0o600): string {
  const file = temp.path('key');
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
}

async function newRecipient(): Promise<{ identity: string; recipient: string }> {
  const identity = await generateIdentity();
  return { identity, recipient: await identityToRecipient(identity) };
}

async function decrypt(file: Buffer, identity: string): Promise<string> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  return await decrypter.decrypt(armor.decode(file.toString()), 'text');
}

describe('the key ring of a repository', () => {
  it('is opened by its passphrase alone', async () => {
    const store = await sealedStore();

    expect((await loadRing(store, secretOf(PHRASE))).keys).toHaveLength(1);
    await expectCode(loadRing(store, secretOf(OTHER)), 'REPOSITORY_KEY_WRONG');
    expect(store.root.contentOf(RING_FILE).includes(PHRASE)).toBe(false);
  });

  it('is asked for, and refused where there is none', async () => {
    const store = await sealedStore();
    const plain = new MemoryStore();

    await expectCode(openKeyRing(store, undefined, true), 'REPOSITORY_KEY_MISSING');
    await expectCode(openKeyRing(plain, keyFile(PHRASE), false), 'USAGE_INVALID_OPTION');
    await expectCode(openKeyRing(plain, keyFile(PHRASE), true), 'REPOSITORY_KEY_WRONG');
    expect(await plain.root.fileNames()).toEqual([]);
  });

  it('is not used where the marker says that the repository is not sealed', async () => {
    const store = await sealedStore();

    await expectCode(openKeyRing(store, keyFile(PHRASE), false), 'REPOSITORY_METADATA_INVALID');
    await expectCode(openKeyRing(store, keyFile(OTHER), false), 'REPOSITORY_KEY_WRONG');
  });

  it('keeps a new repository from being made without its key', async () => {
    const store = await sealedStore();

    await expectCode(makeSeal(store, {}), 'REPOSITORY_KEY_MISSING');
    expect(await makeSeal(new MemoryStore(), {})).toBeInstanceOf(MemoryStore);
  });

  it('opens files that were sealed before, with a key file', async () => {
    const store = new MemoryStore();
    const first = sealStore(store, await createKeyRing(store, keyFile(PHRASE), COST));
    await first.folder('vm').writeFile('a', 'content');
    const keys = await openKeyRing(store, keyFile(`${PHRASE}\n`), true);
    const again = sealStore(store, keys);

    expect((await again.folder('vm').readFile('a', 100))?.toString()).toBe('content');
    await again.close();
    expect(store.isClosed).toBe(true);
    expect(keys.keys.every(({ bytes }) => bytes.every((byte) => byte === 0))).toBe(true);
    await expectCode(again.folder('vm').writeFile('a', 'x'), 'INTERNAL_INVARIANT');
  });

  it('is made once', async () => {
    const store = await sealedStore();

    await expectCode(createKeyRing(store, keyFile(PHRASE), COST), 'REPOSITORY_LOCKED');
  });

  it('is not made with a recovery key', async () => {
    const { keys } = await loadRing(await sealedStore(), secretOf(PHRASE));
    const store = new MemoryStore();

    const creating = createKeyRing(store, keyFile(encodeRecoveryKey(keys)));
    await expectCode(creating, 'USAGE_INVALID_OPTION');
    expect(await store.root.fileNames()).toEqual([]);
  });

  it('is refused when any field was changed without the keys', async () => {
    const store = await sealedStore();
    await change(store, (ring) => addSecret(ring, secretOf(OTHER), COST));
    const good = JSON.parse(store.root.contentOf(RING_FILE).toString()) as {
      keys: object[];
      slots: { recipient?: string }[];
    };
    const { recipient } = await newRecipient();
    const stranger = {
      id: '00000000',
      type: 'recipient',
      createdAt: '2026-01-01T00:00:00Z',
      recipient,
    };
    const forged = [
      { ...good, slots: [...good.slots, stranger] },
      { ...good, slots: good.slots.slice(0, 1) },
      { ...good, keys: good.keys.map((key) => ({ ...key, createdAt: '2020-01-01T00:00:00Z' })) },
      { ...good, mac: '' },
    ];
    for (const ring of forged) {
      store.root.put(RING_FILE, Buffer.from(JSON.stringify(ring)));
      await expectCode(loadRing(store, secretOf(PHRASE)), 'INTEGRITY_SEAL_BROKEN');
    }
  });

  it.each(['', '{}', 'null', '{"format":"ovirt-cbt keys 1","keys":[],"slots":[],"mac":""}'])(
    'is refused when it is no ring: %s',
    async (text) => {
      const store = new MemoryStore();
      store.root.put(RING_FILE, Buffer.from(text));

      await expectCode(loadRing(store, secretOf(PHRASE)), 'REPOSITORY_METADATA_INVALID');
    },
  );

  it('takes no more memory than its limit, whatever cost is forged', async () => {
    const store = await sealedStore();
    const text = store.root.contentOf(RING_FILE).toString();
    store.root.put(RING_FILE, Buffer.from(text.replace('"N": 1024', '"N": 1073741824')));

    await expectCode(loadRing(store, secretOf(PHRASE)), 'REPOSITORY_METADATA_INVALID');
  });

  it('takes the real cost of scrypt by default', async () => {
    const store = new MemoryStore();
    await createKeyRing(store, keyFile(PHRASE));

    expect(store.root.contentOf(RING_FILE).toString()).toContain('"N": 131072');
    expect((await loadRing(store, secretOf(PHRASE))).keys).toHaveLength(1);
  });
});

describe('a generated key', () => {
  const text = generateKeyFile();
  const generated = decodeKeyFile(Buffer.from(text), 'key');

  it('opens the ring without scrypt, and no passphrase does', async () => {
    const store = new MemoryStore();
    await createKeyRing(store, keyFile(text));
    const ring = await loadRing(store, generated);

    expect(ring.slots).toMatchObject([{ type: 'generated', kdf: { name: 'hkdf-sha256' } }]);
    expect(store.root.contentOf(RING_FILE).includes(text.slice(16, 40))).toBe(false);
    await expectCode(loadRing(store, secretOf(PHRASE)), 'REPOSITORY_KEY_WRONG');
    const other = decodeKeyFile(Buffer.from(generateKeyFile()), 'key');
    await expectCode(loadRing(store, other), 'REPOSITORY_KEY_WRONG');
  });

  it('and a passphrase open the same ring, also after a rotation with both', async () => {
    if (generated.kind !== 'generated') throw new Error('no generated key');
    const store = await sealedStore();
    await change(store, (open) => addSecret(open, generated));
    const secrets = [secretOf(PHRASE), generated];
    const rotated = await change(store, (open) => rotateRing(open, secrets, COST));

    expect(rotated.slots.map(({ type }) => type)).toEqual(['passphrase', 'generated']);
    expect(idsOf(await loadRing(store, generated))).toEqual(idsOf(rotated));
    expect(idsOf(await loadRing(store, secretOf(PHRASE)))).toEqual(idsOf(rotated));
    await expectCode(rotateRing(rotated, [generated], COST), 'USAGE_INVALID_OPTION');
  });

  it('differs each time, and is read with or without the end of its line', () => {
    expect(generateKeyFile()).not.toBe(text);
    for (const form of [text, text.trimEnd(), text.replace('\n', '\r\n')]) {
      expect(decodeKeyFile(Buffer.from(form), 'key')).toEqual(generated);
    }
  });

  it.each([
    ['too short', text.slice(0, 40)],
    ['too long', `${text.trimEnd()}A\n`],
    ['of another form', text.replace('-1:', '-2:')],
    ['with a letter that base64url lacks', text.replace(/.\n$/, '+\n')],
    ['with bits after its end', text.replace(/.\n$/, 'B\n')],
    ['with a space', text.replace(/\n$/, ' \n')],
    ['empty', 'ovirt-cbt-key-1:\n'],
    ['without a number', 'ovirt-cbt-key-and more of it'],
  ])('that is %s is refused, and not shown', (_, bad) => {
    const error = expectCodeSync(
      () => decodeKeyFile(Buffer.from(bad), 'FILE'),
      'USAGE_INVALID_OPTION',
    );
    expect(String(error)).not.toContain(bad.trim());
  });
});

describe('changes of the key ring', () => {
  it('add and remove a passphrase', async () => {
    const store = await sealedStore();
    const ring = await change(store, (open) => addSecret(open, secretOf(OTHER), COST));
    expect(idsOf(await loadRing(store, secretOf(OTHER)))).toEqual(idsOf(ring));
    await change(store, (open) => removeSlot(open, open.slots[0]?.id ?? ''), secretOf(OTHER));

    await expectCode(loadRing(store, secretOf(PHRASE)), 'REPOSITORY_KEY_WRONG');
    expect((await loadRing(store, secretOf(OTHER))).slots).toHaveLength(1);
  });

  it('never remove the last slot, or one that is not there', async () => {
    const ring = await loadRing(await sealedStore(), secretOf(PHRASE));

    expectCodeSync(() => removeSlot(ring, ring.slots[0]?.id ?? ''), 'USAGE_INVALID_OPTION');
    expectCodeSync(() => removeSlot(ring, '12345678'), 'USAGE_NOT_FOUND');
  });

  it('rotate: new files take a new key, old files are still read', async () => {
    const store = await sealedStore();
    const seal = async (): Promise<Store> =>
      sealStore(store, await openKeyRing(store, keyFile(PHRASE), true));
    await (await seal()).folder('vm').writeFile('old', 'one');
    const ring = await change(store, (open) => rotateRing(open, [secretOf(PHRASE)], COST));
    const after = await seal();
    await after.folder('vm').writeFile('new', 'two');
    const keyIdOf = (name: string): string =>
      store.folder('vm').contentOf(name).toString('hex', 20, 32);

    expect([keyIdOf('old'), keyIdOf('new')]).toEqual(idsOf(ring));
    expect((await after.folder('vm').readFile('old', 10))?.toString()).toBe('one');
    expect((await after.folder('vm').readFile('new', 10))?.toString()).toBe('two');
  });

  it('rotate needs the passphrase of each slot', async () => {
    const store = await sealedStore();
    const ring = await change(store, (open) => addSecret(open, secretOf(OTHER), COST));
    await expectCode(rotateRing(ring, [secretOf(PHRASE)], COST), 'USAGE_INVALID_OPTION');
    const rotated = await change(store, (open) =>
      rotateRing(open, [secretOf(PHRASE), secretOf(OTHER)], COST),
    );

    expect(idsOf(await loadRing(store, secretOf(PHRASE)))).toEqual(idsOf(rotated));
    expect(idsOf(await loadRing(store, secretOf(OTHER)))).toEqual(idsOf(rotated));
    expect(rotated.slots.map(({ id }) => id)).toEqual(ring.slots.map(({ id }) => id));
  });

  it('give a recipient a file that age opens, and a new one after a rotation', async () => {
    const store = await sealedStore();
    const { identity, recipient } = await newRecipient();
    const ring = await change(store, (open) => addRecipient(open, recipient));
    const [slot] = recipientsOf(ring);
    if (!slot) throw new Error('no recipient');
    const first = recoveryFileOf(ring, slot);
    const text = await decrypt(store.root.contentOf(first), identity);
    expect(text.split('\n')[0]).toBe('ovirt-cbt recovery key 1');
    const recovered = decodeKeyFile(Buffer.from(text), 'recovery');
    expect(idsOf(await loadRing(store, recovered))).toEqual(idsOf(ring));

    const rotated = await change(store, (open) => rotateRing(open, [secretOf(PHRASE)], COST));
    const names = await store.root.fileNames();
    expect(names).not.toContain(first);
    const second = await decrypt(store.root.contentOf(recoveryFileOf(rotated, slot)), identity);
    expect(decodeRecoveryKey(second)?.map(({ id }) => id)).toEqual(idsOf(rotated));
    // The recovery key of before the rotation lacks the new key.
    await expectCode(loadRing(store, recovered), 'REPOSITORY_KEY_WRONG');
  });

  it('delete the file of a recipient that is removed', async () => {
    const store = await sealedStore();
    const { recipient } = await newRecipient();
    const ring = await change(store, (open) => addRecipient(open, recipient));
    await change(store, (open) => removeSlot(open, recipientsOf(ring)[0]?.id ?? ''));

    expect(await store.root.fileNames()).toEqual([RING_FILE]);
  });

  it('refuse a recipient that is none, or is there', async () => {
    const { recipient } = await newRecipient();
    const ring = await addRecipient(
      await loadRing(await sealedStore(), secretOf(PHRASE)),
      recipient,
    );

    await expectCode(addRecipient(ring, recipient), 'USAGE_INVALID_OPTION');
    await expectCode(addRecipient(ring, 'age1nonsense'), 'USAGE_INVALID_OPTION');
    await expectCode(addRecipient(ring, 'ssh-ed25519 AAAA'), 'USAGE_INVALID_OPTION');
  });

  it('give a recipient a file that the program age of Debian opens', async (context) => {
    if (spawnSync('age', ['--version']).error) {
      console.warn('skipped: the program age is not installed (apt-get install age)');
      context.skip('the program age is not installed');
    }
    const identityFile = temp.path('identity');
    execFileSync('age-keygen', ['-o', identityFile], { stdio: 'ignore' });
    const recipient = execFileSync('age-keygen', ['-y', identityFile]).toString().trim();
    const store = await sealedStore();
    const ring = await change(store, (open) => addRecipient(open, recipient));
    const [slot] = recipientsOf(ring);
    if (!slot) throw new Error('no recipient');
    const input = store.root.contentOf(recoveryFileOf(ring, slot));
    const text = execFileSync('age', ['-d', '-i', identityFile], { input });

    expect(text.toString()).toBe(encodeRecoveryKey(ring.keys));
    const keys = await openKeyRing(store, keyFile(text.toString()), true);
    expect(keys.newest.id).toBe(idsOf(ring)[0]);
  });
});

describe('a key file', () => {
  it.each([PHRASE, `${PHRASE}\n`, `${PHRASE}\r\n`, `\uFEFF${PHRASE}`])(
    'may be %j',
    async (text) => {
      expect(await readKeyFile(keyFile(text))).toEqual(secretOf(PHRASE));
    },
  );

  it.each([
    ['short', '1234567\n'],
    ['of several lines', `${PHRASE}\nmore\n`],
    ['binary', 'abcdefgh\0ijkl'],
    ['empty', ''],
    ['too large', 'x'.repeat(70_000)],
    ['a recovery key without a key', 'ovirt-cbt recovery key 1\n'],
    ['a recovery key that was cut', 'ovirt-cbt recovery key 1\n0123456789abcdef01234567 AAAA\n'],
    ['a recovery key of a later form', 'ovirt-cbt recovery key 12\n'],
  ])('is refused when it is %s', async (_, text) => {
    await expectCode(readKeyFile(keyFile(text)), 'USAGE_INVALID_OPTION');
  });

  it('is refused when it is not UTF-8, because its bytes would not count', async () => {
    const bytes = Buffer.from('fffefdfcf1f2f3f4f5', 'hex');
    expect(() => decodeKeyFile(bytes, 'key')).toThrow('is not UTF-8 text');
    expect(() => decodeKeyFile(Buffer.from('p\xe4ssphrase', 'latin1'), 'key')).toThrow('UTF-8');
  });

  it('is refused when others can read it, or when it is missing', async () => {
    await expectCode(readKeyFile(keyFile(PHRASE, 0o644)), 'USAGE_INVALID_OPTION');
    await expectCode(readKeyFile(temp.path('none')), 'USAGE_INVALID_OPTION');
    await expectCode(readKeyFile(temp.path('')), 'USAGE_INVALID_OPTION');
  });
});
