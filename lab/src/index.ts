/** A simulated oVirt engine and ovirt-imageio in this process, for tests, demos and first steps. */
export { letGuestsWrite } from './facade/guests.ts';
export { addSampleVms } from './facade/samples.ts';
export { LabError, type LabErrorCode } from './errors.ts';
export { startLab } from './facade/start.ts';
export type {
  Lab,
  LabAction,
  LabBehaviour,
  LabDisk,
  LabDiskFormat,
  LabDiskSpec,
  LabFault,
  LabFaults,
  LabMatch,
  LabOptions,
  LabRequest,
  LabStorageDomainSpec,
  LabTraffic,
  LabView,
  LabVm,
  LabVmSpec,
  LabVmStatus,
} from './types.ts';
