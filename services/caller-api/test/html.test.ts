import { expect, test } from '@jest/globals';
import { html } from '../src/html.ts';

test('values are escaped, parts of HTML are not', () => {
  const cells = ['<script>', `"a" & 'b'`].map((text) => html`<td title="${text}">${text}</td>`);
  expect(html`<tr id="${7}">${cells}${html`<b>ok</b>`}</tr>`.text).toBe(
    '<tr id="7"><td title="&lt;script&gt;">&lt;script&gt;</td>' +
      '<td title="&quot;a&quot; &amp; &#39;b&#39;">&quot;a&quot; &amp; &#39;b&#39;</td><b>ok</b></tr>',
  );
});
