export * from './access-log.ts';
export * from './config.ts';
export * from './health.ts';
export * from './lifecycle.ts';
export * from './logger.ts';
export * from './package-identity.ts';
export * from './problem.ts';
export * from './request-context.ts';
