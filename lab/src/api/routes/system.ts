/** REST calls on the API root and on what the installation consists of. Source: oVirt contract. */
import { randomUUID } from 'node:crypto';
import { unknownResource } from '../../state/refusals.ts';
import type { EngineCall, Route } from '../http/router.ts';
import { searchRows } from '../http/search.ts';
import {
  clusterView,
  DATA_CENTER,
  dataCenterView,
  hostView,
  storageDomainView,
} from '../views/system.ts';
import { BLANK_TEMPLATE_ID } from '../views/vms.ts';
import { API_PATH, reply, replyList, type WireReply } from '../http/wire.ts';

const INSTANCE_ID: string = randomUUID();
const USER_ID: string = randomUUID();
const COLLECTIONS = [
  'clusters',
  'datacenters',
  'disks',
  'events',
  'hosts',
  'imagetransfers',
  'storagedomains',
  'vms',
];

function countOf(active: number, total: number): { active: number; total: number } {
  return { active, total };
}

function getRoot({ engine }: EngineCall): WireReply {
  const vms = [...engine.vms.values()];
  const runningCount = vms.filter(({ status }) => status === 'up').length;
  return reply('api', {
    product_info: {
      name: 'oVirt Engine',
      vendor: 'ovirt.org',
      instance_id: INSTANCE_ID,
      version: { major: 4, minor: 5, build: 7, revision: 0, full_version: '4.5.7-1.el9' },
    },
    special_objects: {
      blank_template: { id: BLANK_TEMPLATE_ID, href: `${API_PATH}/templates/${BLANK_TEMPLATE_ID}` },
    },
    summary: {
      vms: countOf(runningCount, vms.length),
      hosts: countOf(engine.hosts.length, engine.hosts.length),
      storage_domains: countOf(engine.domains.length, engine.domains.length),
      users: countOf(1, 1),
    },
    time: new Date(),
    authenticated_user: { id: USER_ID, href: `${API_PATH}/users/${USER_ID}` },
    link: COLLECTIONS.map((rel) => ({ rel, href: `${API_PATH}/${rel}` })),
  });
}

function findById<Row extends { readonly id: string }>(rows: readonly Row[], id: string): Row {
  const row = rows.find((candidate) => candidate.id === id);
  if (!row) throw unknownResource();
  return row;
}

function named({ id, name }: { readonly id: string; readonly name: string }): {
  readonly id: string;
  readonly name: string;
} {
  return { id, name };
}

function getStorageDomains(call: EngineCall): WireReply {
  const rows = searchRows(call, call.engine.domains, named);
  const views = rows.map((domain) => storageDomainView(call.engine, domain));
  return replyList('storage_domains', 'storage_domain', views);
}

function getHosts(call: EngineCall): WireReply {
  const rows = searchRows(call, call.engine.hosts, (host) => ({
    ...named(host),
    status: 'up',
    hw_id: host.hardwareId,
    datacenter: DATA_CENTER.name,
  }));
  const views = rows.map((host) => hostView(call.engine, host));
  return replyList('hosts', 'host', views);
}

export const systemRoutes: readonly Route[] = [
  { method: 'GET', path: '', run: getRoot },
  { method: 'GET', path: 'storagedomains', run: getStorageDomains },
  {
    method: 'GET',
    path: 'storagedomains/{domain}',
    run: (call) => {
      const domain = findById(call.engine.domains, call.param('domain'));
      return reply('storage_domain', storageDomainView(call.engine, domain));
    },
  },
  {
    method: 'GET',
    path: 'datacenters',
    run: () => replyList('data_centers', 'data_center', [dataCenterView()]),
  },
  {
    method: 'GET',
    path: 'clusters',
    run: (call) => {
      const rows = searchRows(call, call.engine.clusters, named);
      return replyList('clusters', 'cluster', rows.map(clusterView));
    },
  },
  { method: 'GET', path: 'hosts', run: getHosts },
  {
    method: 'GET',
    path: 'hosts/{host}',
    run: (call) =>
      reply('host', hostView(call.engine, findById(call.engine.hosts, call.param('host')))),
  },
];
