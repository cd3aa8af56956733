import proxy from '@fastify/http-proxy';
import { fastify } from 'fastify';
import { port, upstream } from './peer-settings.ts';

const server = fastify();
await server.register(proxy, { upstream, prefix: '/api', rewritePrefix: '/api' });
await server.listen({ port, host: '127.0.0.1' });
