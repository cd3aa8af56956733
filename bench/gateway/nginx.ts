import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Whatever Debian's nginx would put where only root may write. */
const temporaryPaths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

/** Writes the configuration of an nginx with one worker that logs nothing and never closes a connection by itself. */
export const writeNginxConfig = async (folder: string, name: string, http: string): Promise<string> => {
  const file = join(folder, `${name}.conf`);
  const text = `
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    daemon off;
    worker_processes 1;
    pid ${join(folder, `${name}.pid`)};
    error_log stderr emerg;
    events { worker_connections 8192; }
    http {
      ${temporaryPaths.map((path) => `${path}_temp_path ${join(folder, `${name}-${path}`)};`).join(' ')}
      access_log off;
      sendfile on;
      tcp_nodelay on;
      keepalive_requests 1000000000;
      keepalive_timeout 1h;
      client_max_body_size 0;
      ${http}
    }`;
  await writeFile(file, text);
  return file;
};
