import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeNginxConfig } from './nginx.ts';
import { answering, freePort, start, type Program } from './processes.ts';

export const largeBytes = 10_000_000;

/** What the upstream answers: JSON of 1,024 bytes, a file of 10 MB, and 200 once it has read all of an upload. */
export const paths = { small: '/api/records', download: '/api/large', upload: '/api/upload' } as const;

const record = '{"id":1,"name":"Record 1","description":"Description of Record 1","date":"2026-01-01"}';
const json = `{"records":[${Array.from({ length: 11 }, () => record).join(',')}],"note":""}`;
const smallBody = json.replace('""}', `"${'x'.repeat(1_024 - json.length)}"}`);

export interface Upstream extends Program {
  port: number;
  origin: string;
}

/** Debian's nginx. */
export const startUpstream = async (folder: string, core: number): Promise<Upstream> => {
  const port = await freePort();
  const files = join(folder, 'files');
  await mkdir(join(files, 'api'), { recursive: true });
  await writeFile(join(files, 'api', 'large'), Buffer.alloc(largeBytes, 'x'));
  const config = await writeNginxConfig(
    folder,
    'upstream',
    `upstream itself { server 127.0.0.1:${port}; keepalive 8; }
    server {
      listen 127.0.0.1:${port} backlog=4096;
      default_type application/json;
      # Slow readers may keep it waiting.
      send_timeout 1h;
      location = ${paths.small} { return 200 '${smallBody}'; }
      location = /healthz { return 200 '{}'; }
      location = ${paths.download} { root ${files}; }
      # "return" would answer before the body is there; whoever forwards a request without its body has read it.
      location = ${paths.upload} {
        client_body_buffer_size ${largeBytes + 1_024};
        proxy_pass http://itself/healthz;
        proxy_method GET;
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
        proxy_http_version 1.1;
        proxy_set_header Connection "";
      }
    }`,
  );
  const program = start({ name: 'upstream', command: 'nginx', args: ['-c', config], core });
  const origin = `http://127.0.0.1:${port}`;
  await answering('The upstream', `${origin}${paths.small}`, {});
  return { ...program, port, origin };
};
