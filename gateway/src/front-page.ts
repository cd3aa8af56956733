import { createHash } from 'node:crypto';
import type { Middleware } from 'koa';

const style = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 42rem; margin: 3rem auto; padding: 0 1rem; }
code { background: color-mix(in srgb, currentColor 10%, transparent); padding: 0.1em 0.3em; border-radius: 0.25em; }
dt { font-weight: 600; margin-top: 1rem; }
dd { margin: 0; }`;

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Countersign</title>
<style>${style}</style>
</head>
<body>
<h1>Countersign</h1>
<p>This is the gateway. One API calls another here, with a token of its own and no user present.</p>
<dl>
<dt><a href="/caller/records">/caller/records</a></dt>
<dd>The records, fetched by caller-api with an app-only token: a page for a person, JSON for a program.</dd>
<dt><code>/api/records</code></dt>
<dd>The protected API itself. It wants a bearer token with the app role <code>access_as_application_API1</code>.</dd>
</dl>
</body>
</html>
`;

const contentSecurityPolicy = `default-src 'none'; style-src 'sha256-${createHash('sha256')
  .update(style)
  .digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** `GET /`: a short page that says what is here. */
export const frontPage: Middleware = async function frontPage(ctx, next) {
  if (ctx.path !== '/' || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) {
    await next();
    return;
  }
  ctx.set('Content-Security-Policy', contentSecurityPolicy);
  ctx.set('X-Content-Type-Options', 'nosniff');
  ctx.type = 'html';
  ctx.body = page;
};
