// A Socket.IO client: by the transports it is given, in that order; the later ones are upgrades.
'use strict';
const assert = require('node:assert');
const { once } = require('node:events');
const { io } = require('socket.io-client');

(async () => {
  const [url, ...transports] = process.argv.slice(2);
  const socket = io(url, { transports, reconnection: false });
  socket.on('connect_error', (error) => { console.log(`error ${error}`); process.exit(1); });
  await new Promise((connected) => { socket.on('connect', connected); });
  const { engine } = socket.io;
  const last = transports[transports.length - 1];
  if (engine.transport.name !== last) await new Promise((upgraded) => { engine.once('upgrade', upgraded); });

  const blob = Buffer.alloc(50000, 7);
  const answer = await socket.emitWithAck('ask', { text: 'grüezi', blob });
  assert.strictEqual(answer.said.text, 'grüezi');
  assert.deepStrictEqual(Buffer.from(answer.said.blob), blob);
  const news = new Promise((heard) => { socket.on('news', heard); });
  socket.emit('all', ['one', 'two']);
  assert.deepStrictEqual(await news, ['one', 'two']);
  console.log(`fine over ${answer.transport}`);
  socket.disconnect();
})();
