// A Node client with the ws package: says all kinds of messages to the echo server at the URL it is given.
'use strict';
const assert = require('node:assert');
const { once } = require('node:events');
const WebSocket = require('ws');

(async () => {
  const socket = new WebSocket(process.argv[2], ['v1', 'v2'], { perMessageDeflate: true, origin: 'http://app.example' });
  await once(socket, 'open');
  assert.strictEqual(socket.protocol, 'v2');
  assert.strictEqual(socket.extensions, '', 'compression is declined');

  const says = async (data, options) => {
    const answer = once(socket, 'message');
    socket.send(data, options);
    const [back, isBinary] = await answer;
    assert.strictEqual(isBinary, typeof data !== 'string');
    assert.deepStrictEqual(back, Buffer.from(data));
  };
  await says('hello');
  await says('');
  await says('☃'.repeat(20000));
  await says(Buffer.alloc(400000, 7));

  const whole = once(socket, 'message');
  socket.send('in ', { fin: false });
  socket.send('three ', { fin: false });
  socket.send('parts');
  assert.strictEqual((await whole)[0].toString(), 'in three parts');

  const pong = once(socket, 'pong');
  socket.ping('are you there?');
  assert.strictEqual((await pong)[0].toString(), 'are you there?');

  const answers = [];
  socket.on('message', (data) => answers.push(Number(data.toString())));
  for (let n = 0; n < 1000; n += 1) socket.send(String(n));
  while (answers.length < 1000) await once(socket, 'message');
  assert.deepStrictEqual(answers, [...answers.keys()], 'in order');

  const closed = once(socket, 'close');
  if (process.argv[3] === 'server closes') socket.send('close 3001 enough');
  else socket.close(4001, 'bye');
  const [code, reason] = await closed;
  console.log(`closed ${code} ${reason}`);
})();
