import { createHash } from 'node:crypto';
import type { JourneyView } from '../../services/caller-api/src/pages/journey-panel.ts';
import { problemPage } from '../../services/caller-api/src/pages/problem-page.ts';
import { conflictPage, recordPage } from '../../services/caller-api/src/pages/record-page.ts';
import { recordsPage } from '../../services/caller-api/src/pages/records-page.ts';

const requestId = '7d0c1f6e-52f0-4f43-9d0a-6c1f6f3f5a10';
const nowMs = Date.parse('2026-11-23T08:00:00Z');

const journey: JourneyView = {
  requestId,
  nowMs,
  elapsedMs: 64.2,
  token: {
    fromCache: false,
    durationMs: 48.6,
    expiresAt: new Date(nowMs + 74 * 60_000),
    roles: ['access_as_application_API1', 'write_as_application_API1'],
  },
  steps: [
    { name: 'token', atMs: 0.3, durationMs: 0, outcome: 'miss' },
    { name: 'entra', atMs: 0.3, durationMs: 48.6, outcome: 'token' },
    { name: 'call', atMs: 49.1, durationMs: 13.8, outcome: 'GET 200' },
  ],
};

const records = Array.from({ length: 10 }, (_, index) => ({
  id: index + 1,
  name: `Record ${index + 1}`,
  description: `Description of Record ${index + 1}`,
  date: new Date(Date.UTC(2026, 0, index + 1)).toISOString(),
}));
const record = records[6] as (typeof records)[number];

/** The pages that docs/img shows, with contents that do not change. */
export const shownPages: Readonly<Record<string, string>> = {
  records: recordsPage({ records, next: '/caller/records?cursor=x', isFirst: true, mayWrite: true, journey }),
  edit: recordPage({ record, etag: '"1"', mayWrite: true, journey }),
  conflict: conflictPage({
    current: { record: { ...record, description: 'Counted again in November' }, etag: '"2"' },
    draft: { ...record, description: 'Counted again, and found correct' },
    journey,
  }),
  problem: problemPage({
    problem: {
      title: 'Service Unavailable',
      status: 503,
      code: 'identity_unavailable',
      detail: 'This service could not get a token for the API that it calls.',
      requestId,
    },
    advice: {
      cause:
        'Entra refuses this application its token (AADSTS7000222). The client secret has expired: rotate it.',
      remedy:
        'Look at the sign-in logs of the service principal, where the correlation id is 1c7a9a3e-6d0f-4c58-9d2e-3f1b7d9a4e21; "countersign doctor" tries the credential step by step.',
    },
    journey: {
      ...journey,
      token: undefined,
      elapsedMs: 51.3,
      steps: [
        { name: 'token', atMs: 0.3, durationMs: 0, outcome: 'miss' },
        { name: 'entra', atMs: 0.3, durationMs: 50.4, outcome: 'no token' },
      ],
    },
  }),
};

export const themes = ['light', 'dark'] as const;

export const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** For each picture in docs/img: what the page was made of, HTML and style together, and what came out. */
export type PictureList = Record<string, { page: string; picture: string }>;
