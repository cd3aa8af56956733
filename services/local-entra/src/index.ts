export type { Clock } from './clock.ts';
export {
  createLocalEntra,
  startLocalEntra,
  type LocalEntra,
  type LocalEntraOptions,
  type PreparedLocalEntra,
  type StartLocalEntraOptions,
} from './local-entra.ts';
export type { Controls } from './weather/controls.ts';
export type { FaultInput } from './weather/faults.ts';
export type { ForgeInput } from './weather/forge.ts';
export type { LoggedRequest } from './weather/request-log.ts';
export type { Seed } from './seed/seed-schema.ts';
