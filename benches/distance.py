#!/usr/bin/env python3
"""A link over a long and lossy way: by WebSocket and over TCP, one after the other, several rounds.

    sudo benches/distance.py                               50 ms there and back, 1 % of packets lost each way
    sudo benches/distance.py --delay 100 --loss 0

The agent and its service live in one network namespace, server and visitor in another. Between them is this program:
it reads packets from one end, loses some of them, and hands the others to the other end when their time has come. So
it is real TCP on a bad line, whether or not the kernel has netem. Needs root, `ip`, and the release binaries.
"""

import argparse
import asyncio
import fcntl
import heapq
import json
import os
import pathlib
import random
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target")) / "release"
DOMAIN = "tunnel.test"
ENDS = {"adit-near": "10.99.0.1", "adit-far": "10.99.0.2"}
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x1, 0x1000
MTU = 1500
# Packets that wait at most in each direction: what a router would hold, and then some.
QUEUE = 4000

SERVICE = """
import http.server, sys
class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        size = int(self.path.strip("/"))
        self.send_response(200); self.send_header("content-length", str(size)); self.end_headers()
        while size > 0:
            self.wfile.write(b"x" * min(size, 65536)); size -= 65536
    def log_message(self, *_): pass
service = http.server.ThreadingHTTPServer(("127.0.0.1", 3000), Service)
print("listening on 3000", flush=True)
service.serve_forever()
"""

VISITOR = """
import http.client, json, sys, time
host, requests, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=300)
def get(path):
    began = time.monotonic()
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    read = len(answer.read())
    assert answer.status == 200 and read == int(path[1:]), (answer.status, read)
    return time.monotonic() - began
get("/1024")
small = [get("/1024") for _ in range(requests)]
print(json.dumps({"small": small, "large": get(f"/{size}")}))
"""


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def tun(name):
    """One end of the line; what is written to it arrives in its namespace."""
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return end


class Line:
    """Carries packets between two ends, late, and not all of them."""

    def __init__(self, ends, delay, loss):
        self.ends, self.delay, self.loss = ends, delay, loss
        self.waiting = {end: [] for end in ends}
        self.order = 0

    def run(self):
        self.loop = asyncio.new_event_loop()
        for near, far in (self.ends, self.ends[::-1]):
            self.loop.add_reader(near, self.take, near, far)
        self.loop.run_forever()

    def take(self, near, far):
        for _ in range(64):
            try:
                packet = os.read(near, 2 * MTU)
            except BlockingIOError:
                return
            if random.random() < self.loss or len(self.waiting[far]) >= QUEUE:
                continue
            self.order += 1
            heapq.heappush(self.waiting[far], (time.monotonic() + self.delay, self.order, packet))
            if len(self.waiting[far]) == 1:
                self.loop.call_later(self.delay, self.give, far)

    def give(self, far):
        queue = self.waiting[far]
        while queue and queue[0][0] <= time.monotonic():
            try:
                os.write(far, heapq.heappop(queue)[2])
            except OSError:
                pass
        if queue:
            self.loop.call_later(max(0, queue[0][0] - time.monotonic()), self.give, far)


def inside(namespace, *command):
    return ["ip", "netns", "exec", namespace, *map(str, command)]


def said(program, pattern):
    for line in program.stdout:
        found = re.search(pattern, line)
        if found:
            return found.group(1)
    raise RuntimeError(f"{program.args}: ended without {pattern}")


def begun(command):
    """A program that listens by now. What it says later is little, and fits in the pipe."""
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said(program, r"listening on (\S+)")
    return program


def measured(folder, transport, requests, size):
    began = time.monotonic()
    command = [RELEASE / "adit", "http", "3000", "--server", f"http://{DOMAIN}:8080", "--key", folder / "key.pem", "-q"]
    agent = subprocess.Popen(inside("adit-near", *command, "--transport", transport), stdout=subprocess.PIPE, text=True)
    try:
        host = said(agent, r"^http://(\S+?)/?$")
        connected = time.monotonic() - began
        visitor = inside("adit-far", sys.executable, "-c", VISITOR, host, requests, size)
        found = json.loads(subprocess.run(visitor, check=True, capture_output=True, text=True).stdout)
    finally:
        agent.terminate()
        agent.wait()
    small = sorted(found["small"])
    return {
        "connect, ms": connected * 1e3,
        "1 KiB GET p50, ms": statistics.median(small) * 1e3,
        "— p99, ms": small[len(small) * 99 // 100] * 1e3,
        f"{size >> 20} MiB download, MB/s": size / found["large"] / 1e6,
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--delay", type=float, default=50, help="milliseconds there and back")
    arguments.add_argument("--loss", type=float, default=1, help="packets lost each way, %%")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--requests", type=int, default=200)
    arguments.add_argument("--megabytes", type=int, default=8)
    given = arguments.parse_args()
    ends = [tun(name) for name in ENDS]
    programs = []
    with tempfile.TemporaryDirectory(prefix="adit-distance-") as temporary:
        folder = pathlib.Path(temporary)
        # What `ip netns exec` shows in place of /etc/hosts.
        hosts = pathlib.Path("/etc/netns/adit-near/hosts")
        try:
            for (name, own), other in zip(ENDS.items(), reversed(ENDS.values())):
                ip("netns", "add", name)
                ip("link", "set", name, "netns", name)
                ip("-n", name, "addr", "add", own, "peer", other, "dev", name)
                ip("-n", name, "link", "set", name, "mtu", str(MTU), "up")
                ip("-n", name, "link", "set", "lo", "up")
            hosts.parent.mkdir(parents=True, exist_ok=True)
            hosts.write_text(f"127.0.0.1 localhost\n{ENDS['adit-far']} {DOMAIN}\n")
            line = Line(ends, given.delay / 2e3, given.loss / 100)
            threading.Thread(target=line.run, daemon=True).start()
            programs.append(begun(inside("adit-near", sys.executable, "-c", SERVICE)))
            server = [RELEASE / "adit-server", "--listen", "0.0.0.0:8080", "--channel-listen", "0.0.0.0:8443"]
            options = ["--domain", DOMAIN, "--max-body", "unlimited", "--log-filter", "warn,adit_server=info"]
            programs.append(begun(inside("adit-far", *server, *options)))
            rounds = [
                {transport: measured(folder, transport, given.requests, given.megabytes << 20) for transport in ("ws", "tcp")}
                for _ in range(given.rounds)
            ]
        finally:
            for program in programs:
                program.terminate()
            for name in ENDS:
                subprocess.run(["ip", "netns", "del", name])
            hosts.unlink(missing_ok=True)
    print(f"| {given.delay:g} ms, {given.loss:g} % lost, {given.rounds} rounds | WebSocket | channel over TCP |")
    print("| --- | ---: | ---: |")
    for row in rounds[0]["ws"]:
        figures = [sorted(found[transport][row] for found in rounds) for transport in ("ws", "tcp")]
        words = [f"{statistics.median(found):.1f} ({found[0]:.1f} to {found[-1]:.1f})" for found in figures]
        print(f"| {row} | {' | '.join(words)} |")


if __name__ == "__main__":
    main()
