export * from './local-system.ts';
export * from './service-process.ts';
export * from './system.ts';
export { localApplicationNames, takeToken, type LocalApplication } from './token.ts';
export { CommandError, UsageError } from './command-error.ts';
export { diagnose } from './doctor/doctor-command.ts';
export type { Finding } from './doctor/examination.ts';
export type { Target } from './target.ts';
