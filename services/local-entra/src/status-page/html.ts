/** HTML that is safe to put into a page. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Part = Html | number | string | readonly Html[];

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const render = (part: Part): string => {
  if (typeof part !== 'object')
    return String(part).replaceAll(/[&<>"']/g, (character) => entities[character] ?? '');
  return part instanceof Html ? part.text : part.map(({ text }) => text).join('');
};

/** A template whose values are escaped, unless they are {@link Html} themselves. Works for SVG, too. */
export const html = (strings: TemplateStringsArray, ...parts: readonly Part[]): Html =>
  new Html(strings.map((text, index) => text + render(parts[index] ?? '')).join(''));
