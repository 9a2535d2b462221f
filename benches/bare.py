#!/usr/bin/env python3
"""A Bare server of ours beside npm's bare-server-node: the same remote, the same load, in turns.

    benches/bare.py [--rounds N] [--seconds N] [--page FILE]

Requests a second and latencies of version 3 by wrk, beside the remote without a Bare server; memory at first, after 10,000
requests, and with 1,000 open WebSockets. Needs wrk, Node, the programs of `.ci/install --bench`, and the release binary
(`cargo build --release --bin adit`). Prints Markdown, which --page puts between the marks of a page.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import sys
import tempfile

from load import LOAD
from peers.ours import AGENT, ROOT
from proc import Stage, finish
from report import write_page

PROGRAMS = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "programs" / "node_modules"
SCRIPTS = ROOT / "cmd" / "client" / "tests" / "bare" / "programs"
REQUESTS = 10_000
SOCKETS = 1_000
CONNECTIONS = 32


class Server:
    """One way to the remote: its program, and what clients call."""

    def __init__(self, title, program, url):
        self.title, self.program, self.url = title, program, url
        self.found = {}

    def memory(self):
        return self.program.memory() / 1024

    def note(self, figure, value):
        self.found.setdefault(figure, []).append(value)

    def median(self, figure):
        return statistics.median(self.found[figure]) if figure in self.found else None


def ours(stage):
    flags = ["--no-block-local", "--visitor-requests", "0", "--visitor-sockets", "0"]
    program = stage.start("adit-bare", [AGENT, "bare", "--listen", "127.0.0.1:0", *flags])
    return Server("adit bare", program, program.first_line())


def npms(stage):
    node = ["env", f"NODE_PATH={PROGRAMS}", "node", SCRIPTS / "server.cjs"]
    program = stage.start("bare-server-node", node)
    port = program.first_line().removeprefix("port ")
    return Server("bare-server-node", program, f"http://127.0.0.1:{port}")


def wrk(url, headers, seconds, connections):
    """Requests a second, and the latencies of half and of all but one in a hundred, in µs."""
    fields = [word for header in headers for word in ("-H", header)]
    said = finish(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *fields, url], seconds + 30)
    if "Non-2xx" in said:
        raise RuntimeError(f"{url}: {said}")
    unit = {"us": 1, "ms": 1000, "s": 1_000_000}
    latency = lambda share: (lambda found: float(found[1]) * unit[found[2]])(re.search(rf"{share}%\s+([\d.]+)(us|ms|s)", said))
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]), latency(50), latency(99)


def sockets(stage, server, upstream):
    """Opens WebSockets of version 3 to the remote and keeps them for as long as the program lives."""
    script = stage.write(
        "sockets.cjs",
        """
        const WebSocket = require('ws');
        const [, , server, remote, count] = process.argv;
        let open = 0;
        const next = (left) => {
          if (left === 0) return;
          const socket = new WebSocket(`${server.replace('http', 'ws')}/v3/`);
          socket.on('open', () => socket.send(JSON.stringify({ type: 'connect', remote, protocols: [], headers: { Host: 'a' }, forwardHeaders: [] })));
          socket.once('message', () => { open += 1; if (open === Number(count)) console.log('open'); next(left - 10); });
        };
        for (let lane = 0; lane < 10; lane += 1) next(Number(count));
        """,
    )
    node = ["env", f"NODE_PATH={PROGRAMS}", "node", script, server.url, f"ws://{upstream}/ws", SOCKETS]
    program = stage.start(f"sockets-{server.title.replace(' ', '-')}", node)
    if program.first_line() != "open":
        raise RuntimeError(program.last_words())


def measure(stage, servers, upstream, given):
    asking = [f"x-bare-url: http://{upstream}/1k", 'x-bare-headers: {"Host":"a","Accept":"*/*"}']
    remote = f"http://{upstream}/1k"
    alone = Server("the remote alone", None, remote)
    for server in servers:
        server.note("first", server.memory())
        # As many as are asked for, and no more, before anything else.
        finish([sys.executable, "-c", ASKING, server.url, asking[0], asking[1], REQUESTS], 300)
        server.note("after", server.memory())
    for turn in range(given.rounds):
        ways = [alone, *servers]
        for server in ways[turn % len(ways) :] + ways[: turn % len(ways)]:
            url = server.url if server is alone else f"{server.url}/v3/"
            headers = [] if server is alone else asking
            rate, _, _ = wrk(url, headers, given.seconds, CONNECTIONS)
            _, half, most = wrk(url, headers, given.seconds, 1)
            for figure, value in (("rate", rate), ("p50", half), ("p99", most)):
                server.note(figure, value)
    for server in servers:
        before = server.memory()
        sockets(stage, server, upstream)
        server.note("sockets", server.memory())
        # A garbage collector may free more meanwhile than the sockets take; then there is no such figure.
        if (grown := server.memory() - before) > 0:
            server.note("each", grown * 1024 / SOCKETS)
    return [alone, *servers]


# One connection, one request behind the other: what is counted are requests, not what wrk has under way at its end.
ASKING = """
import http.client, sys
_, url, *headers, count = sys.argv
connection = http.client.HTTPConnection(url.removeprefix('http://'))
fields = dict(header.split(': ', 1) for header in headers)
for _ in range(int(count)):
    connection.request('GET', '/v3/', headers=fields)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200 and answer.headers['x-bare-status'] == '200', answer.status
"""

ROWS = (
    ("rate", f"requests a second, {CONNECTIONS} connections", "{:,.0f}"),
    ("p50", "latency of one request after the other: half, µs", "{:,.0f}"),
    ("p99", "— all but one in a hundred, µs", "{:,.0f}"),
    ("added", "— added to the remote's own half, µs", "{:,.0f}"),
    ("first", "memory at first, MiB", "{:.1f}"),
    ("after", f"— after {REQUESTS:,} requests, MiB", "{:.1f}"),
    ("sockets", f"— with {SOCKETS:,} open WebSockets, after the rounds, MiB", "{:.1f}"),
    ("each", "— for each of them, KiB", "{:.1f}"),
)


def table(ways, given):
    for server in ways[1:]:
        server.note("added", server.median("p50") - ways[0].median("p50"))
    lines = [
        f"Medians of {given.rounds} rounds of {given.seconds} s, in turns; memory is proportional set size. The machine has "
        f"{os.cpu_count()} processors and had a load average of {given.load:.1f} before the run: above 1 somebody else's work is "
        "in the figures, most of all in the slowest.",
        "",
        "| | " + " | ".join(server.title for server in ways) + " |",
        "|---|" + "---:|" * len(ways),
    ]
    for figure, words, form in ROWS:
        values = [server.median(figure) for server in ways]
        cells = ["" if value is None else form.format(value) for value in values]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=3)
    arguments.add_argument("--page", type=pathlib.Path)
    arguments.add_argument("--json", type=pathlib.Path)
    given = arguments.parse_args()
    given.load, _, _ = os.getloadavg()
    for needed in (AGENT, LOAD, PROGRAMS):
        if not needed.exists():
            sys.exit(f"error: {needed} is missing: run .ci/install --bench and cargo build --release")
    with tempfile.TemporaryDirectory(prefix="adit-bench-") as folder, Stage(folder) as stage:
        upstream = stage.start("upstream", [LOAD, "serve"]).first_line()
        ways = measure(stage, [ours(stage), npms(stage)], upstream, given)
    text = table(ways, given)
    print(text)
    if given.json:
        given.json.write_text(json.dumps({server.title: server.found for server in ways}, indent=1))
    if given.page:
        write_page(given.page, text)


if __name__ == "__main__":
    main()
