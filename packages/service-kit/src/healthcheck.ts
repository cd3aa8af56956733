/**
 * What a container runs to see whether its service is ready: exit code 0 when `HEALTHCHECK_URL` answers with 2xx.
 * `HEALTHCHECK_CA_FILE` names a PEM file to trust for an https: URL.
 */
import { readFileSync } from 'node:fs';
import { get as httpGet } from 'node:http';
import { get as httpsGet } from 'node:https';

const { HEALTHCHECK_URL: url, HEALTHCHECK_CA_FILE: caFile } = process.env;
if (!url) throw new Error('HEALTHCHECK_URL is missing');

const get = url.startsWith('https:') ? httpsGet : httpGet;
const request = get(url, { timeout: 2_000, ...(caFile && { ca: readFileSync(caFile) }) }, (response) => {
  const ready = response.statusCode !== undefined && response.statusCode >= 200 && response.statusCode < 300;
  if (ready) process.exitCode = 0;
  response.destroy();
});
request.on('timeout', () => request.destroy());
request.on('error', () => undefined);
process.exitCode = 1;
