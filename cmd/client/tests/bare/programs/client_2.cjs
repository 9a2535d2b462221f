// npm's @tomphttp/bare-client 1 (version 2 of the protocol): MODULES SERVER REMOTE
'use strict';
const assert = require('node:assert');
const { once } = require('node:events');
const { pathToFileURL } = require('node:url');
const [, , modules, server, remote] = process.argv;

(async () => {
  const { createBareClient } = await import(pathToFileURL(`${modules}/bare-client-1/dist/BareClient.js`));
  const client = await createBareClient(server);

  const got = await client.fetch(`${remote}/a?b=1`, { headers: { 'X-Own': 'mine', 'X-Long': 'v'.repeat(5000) } });
  assert.strictEqual(got.status, 200);
  const text = await got.text();
  assert.match(text, /^GET \/a\?b=1\n/);
  assert.match(text, /x-own: mine\n/);
  assert.match(text, /x-long: v{5000}\n/);
  const posted = await client.fetch(`${remote}/post`, { method: 'POST', body: 'a body' });
  assert.ok((await posted.text()).endsWith('\na body'));

  const socket = await client.createWebSocket(`${remote.replace('http', 'ws')}/ws`, { Origin: 'http://page.example' }, ['chat']);
  socket.binaryType = 'arraybuffer';
  await once(socket, 'open');
  const meta = await socket.meta;
  assert.strictEqual(meta.status, 101);
  assert.strictEqual(meta.headers.get('sec-websocket-protocol'), 'chat');
  assert.strictEqual(meta.headers.get('set-cookie'), 'seen=1; Path=/');
  for (const data of ['hello', '☃'.repeat(10000)]) {
    const answer = once(socket, 'message');
    socket.send(data);
    assert.strictEqual((await answer)[0].data, data);
  }
  const closed = once(socket, 'close');
  socket.close();
  await closed;
  console.log('all good');
  process.exit(0);
})();
