/** Requests of an upload that go nowhere. Parts are kept, or only counted. */
import { setImmediate } from 'node:timers/promises';
import type { UploadRequests } from '../../../src/store/s3/containerUpload.ts';
import type { SentPart, UploadId } from '../../../src/store/s3/requests/uploads.ts';

const FACTS = { etag: '"e"', modifiedAtMs: 0 };

export class FakeUploads implements UploadRequests {
  /** Bytes by part, in order of arrival. Empty when parts are only counted. */
  readonly parts = new Map<number, Buffer>();
  readonly order: number[] = [];
  readonly events: string[] = [];
  objects: Buffer[] = [];
  inFlight = 0;
  peakInFlight = 0;
  sentBytes = 0;
  /** Called for each part, before it is taken. */
  onPart: (part: number) => void = () => {};
  readonly #keepsParts: boolean;

  constructor(keepsParts: boolean) {
    this.#keepsParts = keepsParts;
  }

  /** What the object would be. */
  get content(): Buffer {
    const numbers = [...this.parts.keys()].toSorted((a, b) => a - b);
    return Buffer.concat(numbers.map((part) => this.parts.get(part) ?? Buffer.alloc(0)));
  }

  readonly bucket: UploadRequests['bucket'] = {
    urlOf: (key) => `s3://bucket/${key}`,
    put: async (_key, body) => {
      this.events.push('put');
      this.objects.push(Buffer.from(body));
      return { ...FACTS, sizeBytes: body.length };
    },
  };

  readonly uploads: UploadRequests['uploads'] = {
    start: async (key) => {
      this.events.push('start');
      return { key, uploadId: 'u' };
    },
    sendPart: async (_upload: UploadId, number, body): Promise<SentPart> => {
      this.inFlight++;
      this.peakInFlight = Math.max(this.peakInFlight, this.inFlight);
      await setImmediate();
      try {
        this.onPart(number);
        this.order.push(number);
        this.sentBytes += body.length;
        if (this.#keepsParts) this.parts.set(number, Buffer.from(body));
        return { number, etag: `"${number}"`, crc: undefined };
      } finally {
        this.inFlight--;
      }
    },
    complete: async (_upload, parts, sizeBytes) => {
      this.events.push(`complete ${parts.map(({ number }) => number).join(' ')}`);
      return { ...FACTS, sizeBytes };
    },
    abort: async () => {
      this.events.push(`abort with ${this.inFlight} in flight`);
    },
  };
}
