import { writeFileSync } from 'node:fs';
import { createApiReference } from './api-reference.ts';

writeFileSync(new URL('../API.md', import.meta.url), createApiReference());
