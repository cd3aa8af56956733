import { withoutTokens } from '@countersign/service-kit';

/** Client secrets as Entra, and local-entra, makes them. */
const secretPattern = /[\w.~-]{3}8Q~[\w.~-]{34}/g;

/** Blanks what looks like a token or a client secret: people paste them where ids belong. */
export const withoutSecrets = (text: string): string =>
  withoutTokens(text).replaceAll(secretPattern, '[secret]');
