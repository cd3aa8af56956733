import { expect, test } from '@jest/globals';
import { describeApi } from './api-description.ts';
import { sendGeneratedRequests } from './generated-requests.ts';
import { startTestApi } from './test-api.ts';

/** `npm run fuzz:records` asks for 10,000, each time others. */
const count = Number(process.env['GENERATED_REQUESTS'] ?? 500);
const seed = Number(process.env['GENERATED_SEED'] ?? 1);

test(
  `${count} generated requests get no 500 and no answer that is not described`,
  async () => {
    await using api = await startTestApi();
    const description = describeApi(await (await fetch(`${api.url}/openapi.json`)).json());
    const statuses = await sendGeneratedRequests(api, description, count, seed);
    // They are of use only if they get beyond the first check.
    for (const status of [200, 201, 204, 400, 404, 422, 428]) expect(statuses.get(status)).toBeGreaterThan(0);
  },
  count * 50,
);
