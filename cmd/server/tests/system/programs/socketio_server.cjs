// A Socket.IO server: acknowledges, broadcasts, carries binary.
'use strict';
const http = require('node:http');
const { Server } = require('socket.io');

const server = http.createServer();
const io = new Server(server, { cors: { origin: '*' } });
io.on('connection', (socket) => {
  socket.on('ask', (data, acknowledge) => acknowledge({ said: data, transport: socket.conn.transport.name }));
  socket.on('all', (data) => io.emit('news', data));
});
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
