export * from './local-system.ts';
export * from './service-process.ts';
export * from './system.ts';
export * from './token.ts';
