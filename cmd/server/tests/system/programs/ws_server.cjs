// A Node server with the ws package: says every message back, closes as it is told to, and serves a page that tries it.
'use strict';
const http = require('node:http');
const { WebSocketServer } = require('ws');

const page = `<!doctype html><title>waiting</title><script>
  const socket = new WebSocket('ws://' + location.host + '/echo', ['page.v1', 'page.v2']);
  socket.binaryType = 'arraybuffer';
  const heard = [];
  socket.onopen = () => { socket.send('grüezi'); socket.send(''); socket.send(new Uint8Array(70000).fill(7)); };
  socket.onmessage = ({ data }) => {
    heard.push(typeof data === 'string' ? data : data.byteLength);
    if (heard.length === 3) socket.send('close 4321 from the server');
  };
  socket.onclose = ({ code, reason }) => {
    document.title = JSON.stringify([socket.protocol, socket.extensions, ...heard, code, reason]);
  };
</script>`;

const server = http.createServer((request, response) => {
  response.setHeader('content-type', 'text/html; charset=utf-8');
  response.end(page);
});
const sockets = new WebSocketServer({
  server,
  perMessageDeflate: true,
  handleProtocols: (offered) => [...offered].pop(),
});
sockets.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => {
    const [, code, reason] = (!isBinary && /^close (\d+) (.*)$/.exec(data.toString())) || [];
    if (code) socket.close(Number(code), reason);
    else socket.send(data, { binary: isBinary });
  });
  socket.on('close', (code, reason) => console.log(`closed ${code} ${reason}`));
});
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
