import { availabilityRules } from './availability.ts';
import { containerRules } from './containers.ts';
import { identityRules } from './identity.ts';
import { networkRules } from './network.ts';
import { resourceRules } from './resources.ts';
import type { Rule } from './rule.ts';
import { securityRules } from './security.ts';

/** Everything that has to hold, each under the names by which checkers know it. */
export const rules: readonly Rule[] = [
  ...resourceRules,
  ...containerRules,
  ...securityRules,
  ...identityRules,
  ...availabilityRules,
  ...networkRules,
];
