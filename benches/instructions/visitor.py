"""The load: few requests, one after another or in lock step, that are the same in every run."""

import re
import socket

MASK = b"\x11\x22\x33\x44"
UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Connection:
    """A visitor's connection to one host name."""

    def __init__(self, address, host):
        self.socket = socket.create_connection(address, 60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host = host
        self.buffer = bytearray()

    def close(self):
        self.socket.close()

    def more(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError("closed in the middle of an answer")
        self.buffer += data

    def exactly(self, count):
        while len(self.buffer) < count:
            self.more()
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def head(self):
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            self.more()
        return self.exactly(end + 4)

    def answer(self):
        """Reads a 200 whole."""
        head = self.head()
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"refused: {head.decode()}")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        return self.exactly(int(length[1]))

    def send(self, method, path, body=b"", headers=""):
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\n{length}{headers}\r\n".encode() + body)

    def upgrade(self):
        self.socket.sendall(UPGRADE.format(self.host).encode())
        head = self.head()
        if not head.startswith(b"HTTP/1.1 101 "):
            raise RuntimeError(f"refused: {head.decode()}")

    def echo(self, payload):
        masked = bytes(byte ^ MASK[at & 3] for at, byte in enumerate(payload))
        self.socket.sendall(bytes([0x82, 0x80 | len(payload)]) + MASK + masked)
        answer = self.exactly(2 + len(payload))
        if answer[2:] != payload:
            raise RuntimeError("another message came back")


class Requests:
    """One request after another over kept connections; on several, all ask before any is read."""

    def __init__(self, open, connections, method, path, body=b""):
        self.connections = [open() for _ in range(connections)]
        self.request = (method, path, body)

    def run(self, count):
        for _ in range(count // len(self.connections)):
            for connection in self.connections:
                connection.send(*self.request)
            for connection in self.connections:
                connection.answer()

    def close(self):
        for connection in self.connections:
            connection.close()


class Reconnecting:
    """A connection for each request."""

    def __init__(self, open, path):
        self.open = open
        self.path = path

    def run(self, count):
        for _ in range(count):
            connection = self.open()
            connection.send("GET", self.path, headers="Connection: close\r\n")
            connection.answer()
            connection.close()

    def close(self):
        pass


class Echo:
    """Round trips of one message over one WebSocket."""

    def __init__(self, open, size):
        self.connection = open()
        self.connection.upgrade()
        self.payload = b"x" * size

    def run(self, count):
        for _ in range(count):
            self.connection.echo(self.payload)

    def close(self):
        self.connection.close()
