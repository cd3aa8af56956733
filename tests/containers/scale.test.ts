/** compose/scale.yaml: every service replaced under load, and replicas that die or hang. */
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { type ComposedSystem, docker, startComposedSystem } from './composed-system.ts';
import { countStatuses, isGood, type Load, startLoad } from './load.ts';

jest.setTimeout(200_000);

let system: ComposedSystem;
let token = '';
beforeAll(async () => {
  system = await startComposedSystem(['compose/scale.yaml']);
  token = await system.token('api2');
}, 400_000);
afterAll(() => system?.[Symbol.asyncDispose](), 60_000);

/** A test that tells what the containers logged when it fails. */
const explained = (body: () => Promise<void>) => (): Promise<void> => system.explained(body);

const send = async (requestId: string): Promise<number> => {
  const path = Number(requestId.split('-').at(-1)) % 2 === 0 ? '/api/records' : '/caller/records';
  const response = await system.fetch(`${system.gatewayUrl}${path}`, {
    headers: {
      'x-request-id': requestId,
      ...(path.startsWith('/api') && { authorization: `Bearer ${token}` }),
    },
    signal: AbortSignal.timeout(60_000),
  });
  await response.arrayBuffer();
  return response.status;
};

const perSecond = 200;

/** Resolves once a container has answered a request of the load: whoever is in front of it knows it. */
const isServing = async (container: string, load: Load): Promise<void> => {
  while (!(await docker('logs', container)).includes('"request_id":"load-')) await load.more(20);
};

/** As an operator would: one more, and when it works, one of the old ones less. */
const replace = async (service: string, load: Load): Promise<void> => {
  const old = await system.containers(service);
  await system.compose(
    ...['up', '--detach', '--wait', '--no-deps', '--no-recreate'],
    ...['--scale', `${service}=${old.length * 2}`, service],
  );
  const added = (await system.containers(service)).filter((name) => !old.includes(name));
  expect(added).toHaveLength(old.length);
  await Promise.all(added.map((name) => isServing(name, load)));
  for (const name of old) {
    await docker('stop', name);
    expect(await docker('inspect', '--format', '{{.State.ExitCode}}', name)).toBe('0');
    await docker('rm', name);
  }
};

test.each(['records-api', 'caller-api', 'gateway'])(
  'a rolling replacement of %s under load: none fails',
  (service) =>
    system.explained(async () => {
      const load = startLoad(perSecond, send);
      await load.healed();
      await replace(service, load);
      await load.healed(200);
      const answers = await load.stop();
      expect(countStatuses(answers)).toEqual({ 200: answers.length });
      process.stderr.write(
        `rolling ${service}: ${answers.length} requests, ${Math.round((answers.length * 1_000) / (answers.at(-1)?.atMs ?? 1))}/s\n`,
      );
    }),
);

test(
  'one of three of records-api killed: under 0.1 % fail, and none after two seconds',
  explained(async () => {
    const load = startLoad(perSecond, send);
    await load.healed(200);
    const [victim = ''] = await system.containers('records-api');
    const [{ atMs: killedAtMs } = { atMs: 0 }] = load.answers.slice(-1);
    await docker('kill', victim);
    await load.more(10 * perSecond);
    const answers = await load.stop();
    const failed = answers.filter((answer) => !isGood(answer));
    expect(failed.length / answers.length).toBeLessThan(0.001);
    expect(failed.filter(({ atMs }) => atMs > killedAtMs + 2_000)).toEqual([]);
    await docker('start', victim);
    await system.compose('up', '--detach', '--wait', '--no-deps', '--no-recreate', 'records-api');
  }),
);

test(
  'one of three of records-api hung: the others go on, and what hangs is told in time',
  explained(async () => {
    const load = startLoad(perSecond / 4, send);
    await load.healed();
    const [victim = ''] = await system.containers('records-api');
    await docker('pause', victim);
    await load.more(10 * perSecond);
    await docker('unpause', victim);
    await load.healed();
    const answers = await load.stop();
    expect([200, 502, 503, 504]).toEqual(
      expect.arrayContaining(Object.keys(countStatuses(answers)).map(Number)),
    );
    expect(answers.filter((answer) => !isGood(answer)).length / answers.length).toBeLessThan(0.02);
  }),
);
