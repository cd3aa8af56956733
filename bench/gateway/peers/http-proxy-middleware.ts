import { createServer } from 'node:http';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { port, upstream } from './peer-settings.ts';

// On the bare server, which costs it less than Express would. Its default agent keeps connections.
const proxy = createProxyMiddleware({ target: upstream, changeOrigin: true });
createServer((request, response) => {
  void proxy(request, response);
}).listen(port, '127.0.0.1');
