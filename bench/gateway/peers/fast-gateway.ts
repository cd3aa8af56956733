import gateway from 'fast-gateway';
import { port, upstream } from './peer-settings.ts';

const server = gateway({ routes: [{ prefix: '/api', prefixRewrite: '/api', target: upstream }] });
await server.start(port, '127.0.0.1');
