/** A fresh lab with a client that is logged in, for each test of a file. */
import { afterEach, beforeEach } from 'vitest';
import {
  type Lab,
  type LabOptions,
  type LabVm,
  type LabVmSpec,
  startLab,
} from '../../../lab/src/index.ts';
import { MIB } from '../../../src/core/units.ts';
import { EngineClient } from './engineClient.ts';

export interface LabFixture {
  readonly lab: Lab;
  readonly client: EngineClient;
  /** A VM with one small disk `root`, unless told otherwise. */
  addVm(spec?: Partial<LabVmSpec>): LabVm;
}

export function useLab(options: LabOptions = {}): LabFixture {
  let lab: Lab | undefined;
  let client: EngineClient | undefined;
  const running = (): Lab => {
    if (!lab) throw new Error('the lab is up during tests only');
    return lab;
  };
  beforeEach(async () => {
    lab = await startLab(options);
    client = await EngineClient.login(lab);
  });
  afterEach(async () => {
    await client?.close();
    await lab?.close();
  });
  return {
    get lab() {
      return running();
    },
    get client() {
      if (!client) throw new Error('the client is up during tests only');
      return client;
    },
    addVm: (spec = {}) =>
      running().addVm({ name: 'vm', disks: [{ name: 'root', sizeBytes: MIB }], ...spec }),
  };
}
