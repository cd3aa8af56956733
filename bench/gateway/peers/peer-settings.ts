/** What bench/gateway/proxies.ts tells a proxy that it starts. */
export const port = Number(process.env['PORT']);
export const upstream = process.env['UPSTREAM'] ?? '';
