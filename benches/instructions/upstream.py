"""The service behind the tunnel: as cheap to talk to as nginx is, with the headers nginx sends, and the same everywhere.

A program of its own, so that its work is not done on the visitor's turn. Prints its port.

    GET /1k, GET /100k      a file of that size
    POST anything           takes the body, says ok
    GET with Upgrade        a WebSocket that echoes messages below 126 bytes
"""

import asyncio
import base64
import hashlib
import re

HEAD = (
    "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\n"
    "Content-Type: application/octet-stream\r\nContent-Length: {}\r\n"
    "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\nConnection: keep-alive\r\n"
    'ETag: "386d4380-400"\r\nAccept-Ranges: bytes\r\n\r\n'
)
ACCEPT = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n"
WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def whole(body):
    return HEAD.format(len(body)).encode() + body


ANSWERS = {b"/1k": whole(b"x" * 1024), b"/100k": whole(b"x" * 102_400)}
TAKEN = whole(b"ok")


class Service(asyncio.Protocol):
    """One connection. `take` is what the next bytes are for."""

    def connection_made(self, transport):
        self.transport = transport
        self.buffer = bytearray()
        self.left = 0
        self.take = self.head

    def data_received(self, data):
        self.buffer += data
        while self.take():
            pass

    def head(self):
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        text = bytes(self.buffer[: end + 4])
        del self.buffer[: end + 4]
        path = text.split(b" ", 2)[1]
        key = re.search(rb"(?im)^sec-websocket-key: *(\S+)", text)
        length = re.search(rb"(?im)^content-length: *(\d+)", text)
        if key:
            digest = hashlib.sha1(key[1] + WEBSOCKET_GUID.encode()).digest()
            self.transport.write(ACCEPT.format(base64.b64encode(digest).decode()).encode())
            self.take = self.message
        elif length:
            self.left = int(length[1])
            self.take = self.body
        else:
            self.transport.write(ANSWERS[path])
        return True

    def body(self):
        got = min(self.left, len(self.buffer))
        del self.buffer[:got]
        self.left -= got
        if self.left:
            return False
        self.transport.write(TAKEN)
        self.take = self.head
        return True

    def message(self):
        if len(self.buffer) < 6:
            return False
        length = self.buffer[1] & 0x7F
        if len(self.buffer) < 6 + length:
            return False
        mask = self.buffer[2:6]
        payload = bytes(byte ^ mask[at & 3] for at, byte in enumerate(self.buffer[6 : 6 + length]))
        self.transport.write(bytes([self.buffer[0], length]) + payload)
        del self.buffer[: 6 + length]
        return True


async def main():
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
