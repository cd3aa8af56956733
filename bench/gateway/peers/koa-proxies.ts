import { Agent } from 'node:http';
import Koa from 'koa';
import proxy from 'koa-proxies';
import { port, upstream } from './peer-settings.ts';

// Without an agent it would open a connection for each request.
const agent = new Agent({ keepAlive: true });
const app = new Koa();
// It reports every client that closes.
app.silent = true;
app.use(proxy('/api', { target: upstream, changeOrigin: true, agent }));
app.listen(port, '127.0.0.1');
