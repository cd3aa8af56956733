import { describe, expect, test } from '@jest/globals';
import { type Agent, MockAgent } from 'undici';
import { createGraphClient } from '../../src/provision/graph-client.ts';

describe('the token for Graph goes to Graph alone', () => {
  const clientOf = (mock: MockAgent) =>
    createGraphClient({
      origin: 'https://graph.example',
      token: 'the-token',
      dispatcher: mock as unknown as Agent,
      pause: async () => {},
    });
  const page = { path: '/v1.0/applications', method: 'GET' } as const;

  test.each([
    [
      'at another host',
      'https://elsewhere.example/v1.0/applications',
      'at another host: https://elsewhere.example',
    ],
    [
      'that looks like it',
      'https://graph.example@elsewhere.example/',
      'at another host: https://elsewhere.example',
    ],
    ['without TLS', 'http://graph.example/v1.0/applications', 'at another host: http://graph.example'],
    ['once more', 'https://graph.example/v1.0/applications', 'names a page twice'],
  ])('a next page %s is not asked for', async (_, next, sentence) => {
    const mock = new MockAgent();
    mock.disableNetConnect();
    const answer = { value: [], '@odata.nextLink': next };
    mock.get('https://graph.example').intercept(page).reply(200, answer).times(2);
    const asked: string[] = [];
    mock.on('connect', (origin: URL) => asked.push(origin.origin));
    await expect(clientOf(mock).list('applications')).rejects.toThrow(sentence);
    expect(asked.filter((origin) => origin !== 'https://graph.example')).toEqual([]);
    await mock.close();
  });

  test('a redirect is not followed', async () => {
    const mock = new MockAgent();
    mock.disableNetConnect();
    const headers = { location: 'https://elsewhere.example/' };
    mock.get('https://graph.example').intercept(page).reply(302, '', { headers }).persist();
    await expect(clientOf(mock).list('applications')).rejects.toThrow('unexpected redirect');
    await mock.close();
  });
});
