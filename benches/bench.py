"""Adit beside nginx, over one upstream, in interleaved rounds. Started by run.sh; prints Markdown."""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict

from stage import FILES, HOP, LOAD, Instructions, Stage, free_port

WRK_SCRIPT = """
if os.getenv("POST") then
  wrk.method = "POST"
  wrk.body = string.rep("x", 102400)
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{"requests": %d, "us": %d, "bytes": %d, "failed": %d, "p50_us": %d, "p99_us": %d}\\n',
    summary.requests, summary.duration, summary.bytes, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


class Peer:
    """One way from the visitor to the upstream: where it begins, and the programs that it is."""

    def __init__(self, name, http, ws, programs):
        self.name = name
        # Address and Host of each.
        self.http = http
        self.ws = ws
        self.programs = programs

    def cpu(self):
        return sum(program.cpu() for program in self.programs)

    def pids(self):
        return [pid for program in self.programs for pid in program.pids()]


class Bench:
    """The cases, and what came of them: figures[row][peer] is a list with one number a round."""

    def __init__(self, stage, seconds):
        self.stage = stage
        self.seconds = seconds
        self.figures = defaultdict(lambda: defaultdict(list))
        self.script = stage.folder / "wrk.lua"
        self.script.write_text(WRK_SCRIPT)

    def note(self, row, peer, value):
        self.figures[row][peer.name].append(value)

    def wrk(self, peer, path, connections, post=False, headers=()):
        addr, host = peer.http
        command = ["wrk", "-t1", f"-c{connections}", f"-d{self.seconds}s", "--latency", "-s", str(self.script)]
        for header in (f"Host: {host}", *headers):
            command += ["-H", header]
        environment = {**os.environ, **({"POST": "1"} if post else {})}
        before = peer.cpu()
        out = subprocess.run([*command, f"http://{addr}{path}"], capture_output=True, text=True, env=environment)
        spent = peer.cpu() - before
        found = json.loads(out.stdout.strip().rsplit("\n", 1)[-1])
        if found["failed"] or not found["requests"]:
            raise RuntimeError(f"{peer.name} {path}: {found['failed']} of {found['requests']} requests failed")
        found["rate"] = found["requests"] * 1e6 / found["us"]
        found["cpu_100k"] = spent * 1e5 / found["requests"]
        return found

    def small(self, peer):
        with Instructions(peer.pids()) as counter:
            found = self.wrk(peer, "/1k", 64)
        self.note("1 KiB GET, 64 connections: req/s", peer, found["rate"])
        self.note("— CPU s per 100k requests", peer, found["cpu_100k"])
        if counter.count:
            self.note("— thousand instructions per request", peer, counter.count / found["requests"] / 1000)

    def single(self, peer):
        found = self.wrk(peer, "/1k", 1)
        self.note("1 KiB GET, 1 connection: p50, µs", peer, found["p50_us"])
        self.note("— p99, µs", peer, found["p99_us"])

    def download(self, peer):
        found = self.wrk(peer, "/100k", 16)
        self.note("100 KiB GET, 16 connections: MB/s", peer, found["bytes"] / found["us"])
        self.note("— p99, ms", peer, found["p99_us"] / 1000)

    def upload(self, peer):
        found = self.wrk(peer, "/post", 16, post=True)
        self.note("100 KiB POST, 16 connections: req/s", peer, found["rate"])
        self.note("— CPU s per 100k uploads", peer, found["cpu_100k"])

    def reconnecting(self, peer):
        found = self.wrk(peer, "/1k", 64, headers=["Connection: close"])
        self.note("new connection per request: req/s", peer, found["rate"])

    def large(self, peer):
        addr, host = peer.http
        rates = []
        for _ in range(3):
            found = self.stage.load("pull", addr, host, "/100m", 1)
            rates.append(found["bytes"] / found["seconds"] / 1e6)
        self.note("100 MB download, one stream: MB/s", peer, statistics.median(rates))

    def sockets(self, peer):
        addr, host = peer.ws
        for count in (1, 100):
            before = peer.cpu()
            found = self.stage.load("ws", addr, host, count, self.seconds)
            spent = peer.cpu() - before
            plural = "" if count == 1 else "s"
            rate = found["round_trips"] / found["seconds"]
            self.note(f"WebSocket echo, {count} socket{plural}: round trips/s", peer, rate)
            self.note(f"— p99 over {count}, µs", peer, found["p99_us"])
            if count == 100:
                self.note("— CPU s per 100k round trips", peer, spent * 1e5 / found["round_trips"])

    def round(self, peers):
        for case in (self.small, self.single, self.download, self.upload, self.reconnecting, self.large, self.sockets):
            for peer in peers:
                print(f"  {case.__name__}: {peer.name}", file=sys.stderr)
                case(peer)

    def table(self, peers):
        names = [peer.name for peer in peers]
        print(f"| figure | {' | '.join(names)} | Adit / nginx two hops |")
        print(f"| --- |{' ---: |' * (len(names) + 1)}")
        for row, by_peer in self.figures.items():
            cells = [show(by_peer[name]) for name in names]
            ratio = statistics.median(by_peer["Adit"]) / (statistics.median(by_peer["nginx two hops"]) or 1)
            print(f"| {row} | {' | '.join(cells)} | {ratio:.2f} |")


def show(values):
    """The median, and the range where there is one."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return number(middle) if low == high else f"{number(middle)} ({number(low)}–{number(high)})"


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def set_up(stage):
    """Starts the upstreams and every way to them."""
    stage.files()
    ports = {name: free_port() for name in ("files", "one", "two")}
    echo = stage.start("echo", [LOAD, "ws-echo"]).first_line()
    stage.nginx("files", ports["files"], FILES)
    hop = lambda to, ws: HOP.replace("{next}", to).replace("{echo}", ws)
    one, two = (f"127.0.0.1:{ports[name]}" for name in ("one", "two"))
    first = stage.nginx("one", ports["one"], hop(f"127.0.0.1:{ports['files']}", echo))
    second = stage.nginx("two", ports["two"], hop(one, one))
    peers = [
        Peer("nginx one hop", (one, "bench"), (one, "bench"), [first]),
        Peer("nginx two hops", (two, "bench"), (two, "bench"), [first, second]),
    ]
    # As shipped the agent writes a line for each request; with -q it does not, as nginx does not here.
    for name, options in (("Adit", ()), ("Adit, agent -q", ("-q",))):
        slug = "adit-q" if options else "adit"
        server, addr = stage.server(f"{slug}-server")
        agent, host = stage.agent(f"{slug}-agent", ports["files"], addr, *options)
        socket_agent, socket_host = stage.agent(f"{slug}-ws", echo, addr, *options)
        peers.append(Peer(name, (addr, host), (addr, socket_host), [server, agent, socket_agent]))
    return peers, ports


def far_away(stage, ports, rounds):
    """One download over a link with a delay."""
    for delay in (50, 100):
        server, addr = stage.server(f"far-server-{delay}")
        way = stage.start(f"delay-{delay}", [LOAD, "delay", addr, str(delay)]).first_line()
        _agent, host = stage.agent(f"far-agent-{delay}", ports["files"], way, "-q")
        rates = []
        for _ in range(max(rounds, 3)):
            found = stage.load("pull", addr, host, "/100m", 1)
            rates.append(found["bytes"] / found["seconds"] / 1e6)
        print(f"| 100 MB download, one stream, link with {delay} ms delay each way: MB/s | {show(rates)} |")


def at_once(stage, peer):
    """Memory while eight large bodies pass."""
    server, agent, _ = peer.programs
    addr, host = peer.http
    for program in (server, agent):
        program.forget_peak()
    found = stage.load("pull", addr, host, "/1g", 8)
    print(f"| 8 × 1 GB downloads at once: MB/s | {number(found['bytes'] / found['seconds'] / 1e6)} |")
    for role, program in (("server", server), ("agent", agent)):
        print(f"| — peak RSS of the {role}, MiB | {program.memory('VmHWM', 'status') / 1024:.1f} |")


def idle(stage, count):
    """Memory of a server with links that say nothing."""
    server, addr = stage.server(f"idle-{count}")
    before = {field: server.memory(field) for field in ("Rss", "Pss")}
    links = stage.start(f"links-{count}", [LOAD, "links", addr, str(count)])
    links.first_line()
    after = {field: server.memory(field) for field in ("Rss", "Pss")}
    print(f"| server without links: RSS / PSS, MiB | {before['Rss'] / 1024:.1f} / {before['Pss'] / 1024:.1f} |")
    print(f"| server with {count:,} idle links: RSS / PSS, MiB | {after['Rss'] / 1024:.1f} / {after['Pss'] / 1024:.1f} |")
    print(f"| — PSS per idle link, KiB | {(after['Pss'] - before['Pss']) / count:.1f} |")
    links.stop()


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo")) / 1024 / 1024
    first = lambda command: subprocess.run(command, capture_output=True, text=True)
    said = [first(["nginx", "-v"]).stderr, first(["wrk", "-v"]).stdout, first(["rustc", "--version"]).stdout]
    versions = ", ".join(text.strip().splitlines()[0].strip() for text in said if text.strip())
    print(f"{os.cpu_count()} × {model}, {memory:.0f} GiB, Linux {platform.release()}; {versions}.")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=3)
    given = arguments.parse_args()
    Instructions.probe()
    with tempfile.TemporaryDirectory(prefix="adit-bench-") as folder, Stage(folder) as stage:
        pathlib.Path(folder).chmod(0o755)
        peers, ports = set_up(stage)
        bench = Bench(stage, given.seconds)
        for turn in range(given.rounds):
            print(f"round {turn + 1} of {given.rounds}", file=sys.stderr)
            bench.round(peers)
        machine()
        print(f"\n{given.rounds} interleaved rounds of {given.seconds} s a case; median (lowest–highest).")
        if not Instructions.available:
            print("This machine counts no instructions (`perf stat`).")
        print()
        bench.table(peers)
        print("\n| Adit alone | |\n| --- | ---: |")
        far_away(stage, ports, given.rounds)
        at_once(stage, peers[2])
        for count in (1000,):
            idle(stage, count)


if __name__ == "__main__":
    main()
