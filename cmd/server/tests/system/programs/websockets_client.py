"""A client with the websockets package: all kinds of messages to the echo server at the URL, reached at that port."""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def main(url, port, last):
    # The name is under localhost, which not every resolver knows to be this machine.
    async with connect(
        url, host="127.0.0.1", port=int(port), proxy=None, subprotocols=["v1", "v2"], origin="http://app.example"
    ) as socket:
        assert socket.subprotocol == "v2", socket.subprotocol
        assert not socket.protocol.extensions, "compression is declined"
        for message in ["hello", "", "☃" * 20000, b"", bytes(range(256)) * 1000]:
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send(["in ", "three ", "parts"])
        assert await socket.recv() == "in three parts"
        await asyncio.wait_for(await socket.ping(), 5)
        if last == "server closes":
            await socket.send("close 3001 enough")
        elif last == "too large":
            await socket.send(bytes(512_001))
        else:
            await socket.close(4001, "bye")
        try:
            await socket.recv()
        except ConnectionClosed:
            print("closed", socket.close_code, socket.close_reason, flush=True)


asyncio.run(main(*sys.argv[1:]))
