/** Faults of engine and imageio that a long run throws at random, and times that suit them. */
import type { LabAction, LabMatch } from '../../../lab/src/index.ts';
import { type OvirtTimings, scaleTimings } from '../../../src/ovirt/timings.ts';

const IMAGE = { server: 'imageio', method: 'GET' } as const;
const READ = { server: 'engine', method: 'GET' } as const;
const CHANGE = { server: 'engine', method: 'POST', path: /\/(backups|imagetransfers)\b/ } as const;
const STORAGE_ERROR = 'Server failed to perform the request, check logs for details.';

/** Faults with the chance of each to meet a request. */
export const RANDOM_FAULTS: readonly (readonly [LabMatch, LabAction, number])[] = [
  [IMAGE, { reset: true }, 0.02],
  [IMAGE, { status: 500, body: STORAGE_ERROR }, 0.02],
  [IMAGE, { cutAfterBytes: 1000 }, 0.02],
  [IMAGE, { dropTicket: true }, 0.01],
  [IMAGE, { hang: true }, 0.003],
  [READ, { status: 503, body: '<html>Service Unavailable</html>' }, 0.02],
  [READ, { reset: true }, 0.02],
  [READ, { hang: true }, 0.001],
  [CHANGE, { cutAfterBytes: 0 }, 0.03],
  [CHANGE, { status: 503, body: '<html>Service Unavailable</html>' }, 0.01],
];

/** Short deadlines, since some requests are never answered. */
export const FAULTY_TIMINGS: OvirtTimings = {
  ...scaleTimings(0.003),
  connectMs: 5000,
  pollMaxMs: 8,
  imageioReadMs: 1000,
  imageioExtentsMs: 1000,
  restReadMs: 1500,
  restSlowReadMs: 1500,
  getRetryWindowMs: 10_000,
  cleanupMs: 20_000,
};
