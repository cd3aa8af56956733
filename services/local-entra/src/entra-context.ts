import type { IssuerKeys } from './assertions/issuer-keys.ts';
import type { SigningKeys } from './certificates/signing-keys.ts';
import type { Clock } from './clock.ts';
import type { Directory } from './directory/directory.ts';
import type { Propagation } from './weather/propagation.ts';

/** What the endpoints stand on. */
export interface EntraContext {
  /** The public origin, such as `https://localhost:8443`: where every issuer begins. Known once the server listens. */
  origin: () => string;
  directory: Directory;
  signingKeys: SigningKeys;
  /** Keys of the issuers that federated credentials trust. */
  issuerKeys: IssuerKeys;
  clock: Clock;
  propagation: Propagation;
  /** Resolves once the directory, as it is now, is kept. */
  saveDirectory: () => Promise<void>;
}
