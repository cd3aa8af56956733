import { type Browser, chromium } from 'playwright-core';

/** Debian's, unless `CHROMIUM` names another one; none is downloaded. */
const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';

export const launchChromium = (): Promise<Browser> =>
  chromium.launch({
    executablePath,
    args: [
      // Its sandbox needs what containers and root do not have; only pages of this project are opened.
      '--no-sandbox',
      '--disable-dev-shm-usage',
      '--force-color-profile=srgb',
      '--font-render-hinting=none',
    ],
  });
