import { mkdirSync, mkdtempSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A mounted ConfigMap: the file is a link into `..data`, which is a link to a folder that is swapped whole. */
export const openConfigMap = (text: string) => {
  const mount = mkdtempSync(join(tmpdir(), 'countersign-'));
  let version = 0;
  const put = (changed: string): void => {
    version += 1;
    mkdirSync(join(mount, `..v${version}`));
    writeFileSync(join(mount, `..v${version}`, 'routes.yaml'), changed);
    symlinkSync(`..v${version}`, join(mount, '..data_tmp'));
    renameSync(join(mount, '..data_tmp'), join(mount, '..data'));
  };
  put(text);
  symlinkSync(join('..data', 'routes.yaml'), join(mount, 'routes.yaml'));
  return { file: join(mount, 'routes.yaml'), put };
};
