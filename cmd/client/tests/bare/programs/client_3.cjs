// npm's @tomphttp/bare-client 2 (version 3 of the protocol): MODULES SERVER REMOTE
'use strict';
const assert = require('node:assert');
const { pathToFileURL } = require('node:url');
// Not events.once: that hears what the client keeps from pages.
const once = (target, event) => new Promise((done) => target.addEventListener(event, done, { once: true }));
const [, , modules, server, remote] = process.argv;

(async () => {
  const { createBareClient } = await import(pathToFileURL(`${modules}/@tomphttp/bare-client/dist/index.js`));
  const client = await createBareClient(server);
  assert.strictEqual(client.manifest.language, 'Rust');

  const got = await client.fetch(`${remote}/a?b=1`, { headers: { 'X-Own': 'mine', 'X-Long': 'v'.repeat(5000) } });
  assert.strictEqual(got.status, 200);
  const text = await got.text();
  assert.match(text, /^GET \/a\?b=1\n/);
  assert.match(text, /x-own: mine\n/);
  assert.match(text, /x-long: v{5000}\n/);
  const body = 'x'.repeat(100000);
  const posted = await client.fetch(`${remote}/post`, { method: 'POST', body, headers: { 'content-type': 'text/odd' } });
  assert.ok((await posted.text()).endsWith(`\n${body}`));
  await assert.rejects(client.fetch('http://127.0.0.1:1/'), (error) => error.body.code === 'CONNECTION_REFUSED');

  const socket = client.createWebSocket(`${remote.replace('http', 'ws')}/ws`, ['chat'], {});
  socket.binaryType = 'arraybuffer';
  await once(socket, 'open');
  assert.strictEqual(socket.protocol, 'chat');
  for (const data of ['hello', '☃'.repeat(10000)]) {
    const answer = once(socket, 'message');
    socket.send(data);
    assert.strictEqual((await answer).data, data);
  }
  const answer = once(socket, 'message');
  socket.send(new Uint8Array([0, 255]));
  assert.deepStrictEqual(new Uint8Array((await answer).data), new Uint8Array([0, 255]));
  const closed = once(socket, 'close');
  socket.close();
  await closed;
  console.log('all good');
  process.exit(0);
})();
