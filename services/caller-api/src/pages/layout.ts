import type { ParameterizedContext } from 'koa';
import { Html, html } from '../html.ts';
import { contentSecurityPolicy, style } from './style.ts';

/** A whole document. */
export const layout = (title: string, content: Html): string =>
  html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="same-origin">
<title>${title} · Countersign</title>
<style>${new Html(style)}</style>
</head>
<body>
<header><p><a href="/caller/records">Countersign</a> records of one API, shown by another</p></header>
<main>
${content}</main>
</body>
</html>
`.text;

/** Answers with a page, which is nobody's to keep. */
export const sendPage = (ctx: ParameterizedContext, page: string): void => {
  ctx.set('Content-Security-Policy', contentSecurityPolicy);
  ctx.set('X-Content-Type-Options', 'nosniff');
  ctx.set('Cache-Control', 'no-store');
  ctx.type = 'html';
  ctx.body = page;
};
