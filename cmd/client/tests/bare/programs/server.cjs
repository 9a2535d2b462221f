// npm's @tomphttp/bare-server-node, which may fetch from this machine and as often as anybody likes: prints its port.
'use strict';
const { createServer } = require('node:http');
const { createBareServer } = require('@tomphttp/bare-server-node');

const bare = createBareServer('/', {
  blockLocal: false,
  connectionLimiter: { maxConnectionsPerIP: 1e9, windowDuration: 60, blockDuration: 1 },
});
const server = createServer();
server.on('request', (request, response) => bare.routeRequest(request, response));
server.on('upgrade', (request, socket, head) => bare.routeUpgrade(request, socket, head));
server.listen(Number(process.argv[2] || 0), '127.0.0.1', () => console.log(`port ${server.address().port}`));
