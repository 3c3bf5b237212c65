/**
 * Loaded first in each process of a command. It shortens times of the compiled product, and gives
 * the process the name of a machine of its own: locks of other machines are judged by their leases.
 */
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import { FLEET_TIMINGS } from '../../../dist/fleet/timings.js';
import { DEFAULT_TIMINGS } from '../../../dist/ovirt/timings.js';
import { LOCK_TIMES } from '../../../dist/store/lockLease.js';

const { hostName, fleet, engine, locks } = JSON.parse(process.env.TEST_COMMAND ?? '{}');
Object.assign(FLEET_TIMINGS, fleet);
Object.assign(DEFAULT_TIMINGS, engine);
Object.assign(LOCK_TIMES, locks);
os.hostname = () => hostName;
syncBuiltinESMExports();
