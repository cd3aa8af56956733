import { Agent, request } from 'undici';

/** NDJSON of records, in thousands alone. */
async function* lines(count: number): AsyncGenerator<string> {
  for (let first = 0; first < count; first += 1_000) {
    let text = '';
    for (let serial = first; serial < first + 1_000; serial += 1)
      text += `{"name":"Bench ${serial}","description":"Description of ${serial}","date":"2026-01-01T00:00:00.000Z"}\n`;
    yield text;
  }
}

/** Imports and exports records at an address. */
export const createRecordsCaller = (
  { url, token }: { url: string; token: string },
  dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 }),
) => {
  const headers = { authorization: `Bearer ${token}` };
  const get = async (
    path: string,
  ): Promise<{ body: Awaited<ReturnType<typeof request>>['body']; link: string }> => {
    const { statusCode, body, headers: answered } = await request(url + path, { headers, dispatcher });
    if (statusCode !== 200) throw new Error(`${path}: ${statusCode} ${await body.text()}`);
    return { body, link: String(answered['link'] ?? '') };
  };
  return {
    close: () => dispatcher.close(),
    get,
    async importRecords(count: number): Promise<void> {
      const { statusCode, body } = await request(`${url}/api/records/import`, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/x-ndjson' },
        body: lines(count) as never,
        dispatcher,
      });
      if (statusCode !== 200) throw new Error(`import: ${statusCode} ${await body.text()}`);
      await body.dump();
    },
    /**
     * @param filter further parameters
     * @returns the cursor behind the last record but 1,000 of those that stand before `behind`
     */
    async exportRecords(behind: number, filter = ''): Promise<string> {
      const { body } = await get(`/api/records/export?checkpoints=true${filter}`);
      let rest = '';
      let records = 0;
      let cursor = '';
      for await (const chunk of body.setEncoding('utf8')) {
        const parts = (rest + chunk).split('\n');
        rest = parts.pop() as string;
        for (const part of parts) {
          if (!part.startsWith('{"cursor"')) records += 1;
          else if (records <= behind) ({ cursor } = JSON.parse(part) as { cursor: string });
        }
      }
      if (records < behind) throw new Error(`${records} records were exported`);
      return cursor;
    },
  };
};
