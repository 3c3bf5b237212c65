/**
 * Starts a lab: engine and imageio on their own ports. They share one CA, one list of faults and
 * one record of requests.
 */
import { randomBytes } from 'node:crypto';
import { invariant } from '../errors.ts';
import { labAuthority } from '../http/certificates.ts';
import { Engine } from '../state/core.ts';
import { EngineHttp } from '../api/http/engineHttp.ts';
import { EngineLab } from './lab.ts';
import { Router } from '../api/http/router.ts';
import { describeRequest, ENGINE_ROUTES, forcePhase } from '../api/routes/allRoutes.ts';
import { EngineScheduler } from '../state/scheduler.ts';
import { createClusters, createDomains, createHosts } from './setup.ts';
import { SsoSessions } from '../api/http/sso.ts';
import { SESSION_IDLE_SECONDS } from '../state/timings.ts';
import { LabFaultList } from '../http/faults.ts';
import type { LabAuthority, LabBackend, LabImageioPlane } from '../dataPlane.ts';
import { LabImageio } from '../imageio/imageio.ts';
import { LabServer } from '../http/server.ts';
import type { Lab, LabBehaviour, LabOptions, LabRequest } from '../types.ts';

const DEFAULT_TIME_SCALE = 0.002;
const DEFAULT_USERNAME = 'admin@internal';

/** All switches are off. */
export function createBehaviour(): LabBehaviour {
  return {
    mergeFails: false,
    backupFails: false,
    backupHangs: false,
    transferHangs: false,
    redefineFails: false,
    followFails: false,
    hidesHosts: false,
    forgetsFinished: false,
    diskCreateHangs: false,
    uploadVerifyFails: false,
    checkpointRemoveFails: false,
    oldImageio: false,
    forbidsTransferActions: false,
    forbidsBackup: false,
    directUrlUnreachable: false,
    freezeFails: false,
    allowsDuplicateMacs: false,
  };
}

/** Shared by engine and imageio. */
interface Shared {
  readonly authority: LabAuthority;
  readonly faults: LabFaultList;
  readonly behaviour: LabBehaviour;
  readonly requests: LabRequest[];
  readonly secrets: Set<string>;
  readonly lab: () => Lab;
}

async function startImageio(
  { authority, requests, ...shared }: Shared,
  backend: LabBackend | undefined,
): Promise<LabImageioPlane> {
  if (backend) return await backend.startImageio(authority);
  return await LabImageio.start({
    ...shared,
    identity: authority.issue(),
    record: (request) => requests.push(request),
  });
}

function createEngine(
  options: LabOptions,
  shared: Shared,
  plane: LabImageioPlane,
  backend: LabBackend | undefined,
): Engine {
  return new Engine({
    plane,
    backend,
    scheduler: new EngineScheduler(options.timeScale ?? DEFAULT_TIME_SCALE),
    behaviour: shared.behaviour,
    domains: createDomains(options.storageDomains),
    clusters: createClusters(),
    hosts: createHosts(options.hosts),
    recordSecret: (secret) => shared.secrets.add(secret),
  });
}

async function startEngine(
  options: LabOptions,
  shared: Shared,
  engine: Engine,
  sessions: SsoSessions,
): Promise<LabServer> {
  const { authority, faults, lab, requests } = shared;
  const router = new Router(ENGINE_ROUTES);
  const http = new EngineHttp({ engine, sessions, router, caPem: authority.caPem });
  return await LabServer.listen({
    server: 'engine',
    identity: authority.issue(),
    port: options.port,
    faults,
    lab,
    describe: (request) => describeRequest(engine, request),
    handle: (request) => http.handle(request),
    record: (request) => requests.push(request),
    flipPhase: ({ path }, phase) => forcePhase(engine, path, phase),
  });
}

/**
 * Starts an engine and an imageio on 127.0.0.1. The caller closes the lab.
 * @throws LabError `LAB_PORT_UNUSABLE` for a port that is taken or does not exist
 */
export async function startLab(options: LabOptions = {}): Promise<Lab> {
  return await startLabOver(undefined, options);
}

/** As {@link startLab}. With a backend the disks and imageio come from outside. */
export async function startLabOver(
  backend: LabBackend | undefined,
  options: LabOptions = {},
): Promise<Lab> {
  let lab: Lab | undefined;
  const username = options.username ?? DEFAULT_USERNAME;
  const password = options.password ?? randomBytes(12).toString('base64url');
  const shared: Shared = {
    authority: labAuthority(),
    faults: new LabFaultList(),
    behaviour: createBehaviour(),
    requests: [],
    secrets: new Set([password]),
    lab: () => {
      invariant(lab, 'a request came before the lab was up');
      return lab;
    },
  };
  const imageio = await startImageio(shared, backend);
  const engine = createEngine(options, shared, imageio, backend);
  const idleSeconds = options.sessionIdleSeconds ?? SESSION_IDLE_SECONDS;
  const sessions = new SsoSessions({
    username,
    password,
    idleMs: engine.scheduler.realMs(idleSeconds),
    recordSecret: (secret) => shared.secrets.add(secret),
  });
  const server = await startEngine(options, shared, engine, sessions).catch(async (error) => {
    // The port may be taken; imageio must not stay open then.
    await imageio.close();
    throw error;
  });
  const { caPem } = shared.authority;
  lab = new EngineLab({ ...shared, username, password, caPem, engine, sessions, server, imageio });
  return lab;
}
