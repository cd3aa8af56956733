/** `npm run screenshots`: the pictures of caller-api's pages in docs/img, light and dark, and the list of what they show. */
import { writeFile } from 'node:fs/promises';
import { launchChromium } from './chromium.ts';
import { type PictureList, sha256, shownPages, themes } from './shown-pages.ts';

const folder = new URL('../../docs/img/', import.meta.url);

const browser = await launchChromium();
const list: PictureList = {};
for (const colorScheme of themes) {
  const context = await browser.newContext({ colorScheme, viewport: { width: 1000, height: 700 } });
  const page = await context.newPage();
  for (const [name, html] of Object.entries(shownPages)) {
    await page.setContent(html);
    const picture = await page.screenshot({ fullPage: true });
    const file = `${name}-${colorScheme}.png`;
    await writeFile(new URL(file, folder), picture);
    list[file] = { page: sha256(html), picture: sha256(picture) };
  }
}
await browser.close();
await writeFile(new URL('pictures.json', folder), `${JSON.stringify(list, undefined, 2)}\n`);
