"""What a request costs beside much that is idle, and what is held for visitors and agents that stall."""

import contextlib
import json
import time

from load import LOAD
from peers.ours import adit_agent, adit_server
from peers.way import Way
from proc import Cpu

from .figures import Case, Row, at_most, is_adit
from .resting import MANY_OF_ONE_ADDRESS

SECTION = "Scale"
LINKS = 10_000
OPEN_STREAMS = 500
STALLED = 100
DELAYS_MS = (50, 100)


@contextlib.contextmanager
def house(bench, name, *options):
    """A server that takes many agents of one address, with one agent; everything started in it ends with it."""
    with bench.stage.scene():
        server, addr = adit_server(bench.stage, f"{name}-server", *options, config=MANY_OF_ONE_ADDRESS)
        agent, host = adit_agent(bench.stage, f"{name}-agent", bench.upstream, addr)
        yield Way(bench.stage, (addr, host), None, {"public": server, "inner": agent})


def begun(bench, *words):
    """What a load says once everything it opens is open. It goes on until its house ends."""
    return json.loads(bench.loads.begin(*words).first_line())


def growth(bench, peer):
    """The same requests to three servers in turn: an empty one, one with idle links, one with open streams."""
    figures = {}
    with house(bench, "empty") as empty, house(bench, "linked") as linked, house(bench, "streaming") as streaming:
        begun(bench, "links", linked.main[0], LINKS)
        begun(bench, "hold", *streaming.main, "/quiet", OPEN_STREAMS)
        for _ in range(bench.rounds):
            found = {name: rate(bench, way) for name, way in (("", empty), ("links_", linked), ("streams_", streaming))}
            for name, by_key in found.items():
                for key, value in by_key.items():
                    figures.setdefault(name + key, []).append(value)
            for name in ("links_", "streams_"):
                figures.setdefault(f"{name}growth", []).append(found[name]["cpu"] / found[""]["cpu"])
    return figures


def rate(bench, way):
    """What requests cost beyond what the way costs without them, which pings do."""
    with Cpu(way.programs.values()) as idle:
        time.sleep(bench.seconds)
    resting = idle.total() / bench.seconds
    with Cpu(way.programs.values()) as busy:
        found = bench.loads.wrk(way.main, "/1k", 64)
    spent = busy.total() - resting * found["us"] / 1e6
    return {"rate": found["rate"], "resting": resting * 1000, "cpu": spent * 1e5 / found["requests"]}


def routes(bench, peer):
    counts = {"one": 1, "thousand": 1000, "many": 100_000}
    figures = {name: [] for name in counts}
    for _ in range(bench.rounds):
        for name, count in counts.items():
            figures[name].append(bench.loads.run("routes", count)["lookup_ns"])
    return figures


def stalled(bench, peer):
    """Visitors that do not read, and agents that take nothing. Kernel buffers are not in it."""
    figures = {}
    with house(bench, "unread", "--max-body", "unlimited") as way:
        rate(bench, way)  # What the allocator keeps after work is not the stalled visitors'.
        before = {role: program.memory() for role, program in way.programs.items()}
        begun(bench, "hold", *way.main, "/1g", STALLED)
        time.sleep(2)
        for role, program in way.programs.items():
            figures[f"visitor_{role}"] = (program.memory() - before[role]) / STALLED
        found = bench.loads.pace(way.main, "/1k", 200, 8)
        figures["p99"] = found["p99_us"]
    with house(bench, "untaken", "--max-body", "unlimited") as way:
        rate(bench, way)
        host = begun(bench, "links", way.main[0], 1)["host"]
        before = way.programs["public"].memory()
        begun(bench, "offer", way.main[0], host, STALLED)
        figures["agent_public"] = (way.programs["public"].memory() - before) / STALLED
    return figures


def far(bench, peer):
    figures = {}
    for delay in DELAYS_MS:
        with bench.stage.scene():
            _, addr = adit_server(bench.stage, f"far-{delay}-server", "--max-body", "unlimited")
            delayed = bench.stage.start(f"far-{delay}", [LOAD, "delay", addr, delay]).first_line()
            _, host = adit_agent(bench.stage, f"far-{delay}-agent", bench.upstream, delayed)
            for _ in range(max(bench.rounds, 3)):
                found = bench.loads.load("pull", (addr, host), "/100m", 1)
                figures.setdefault(f"after_{delay}", []).append(found["bytes"] / found["seconds"] / 1e6)
    return figures


def at_once(bench, peer):
    with house(bench, "large", "--max-body", "unlimited") as way:
        for program in way.programs.values():
            program.forget_peak()
        found = bench.loads.load("pull", way.main, "/1g", 8)
        peaks = {role: program.memory("VmHWM", "status") / 1024 for role, program in way.programs.items()}
    return {"rate": found["bytes"] / found["seconds"] / 1e6, **peaks}


CASES = [
    Case(
        "growth",
        SECTION,
        (
            Row("rate", "1 KiB GET, 64 connections, nothing beside it: req/s"),
            Row("cpu", "— CPU s per 100k requests"),
            Row("links_rate", f"— beside {LINKS:,} idle links: req/s"),
            Row("links_resting", f"— {LINKS:,} idle links without a request: CPU ms per s"),
            Row("links_cpu", f"— beside {LINKS:,} idle links: CPU s per 100k requests"),
            Row("links_growth", f"— beside {LINKS:,} idle links: CPU, × that of none", (at_most(1.1),)),
            Row("streams_rate", f"— beside {OPEN_STREAMS} open streams of its link: req/s"),
            Row("streams_cpu", f"— beside {OPEN_STREAMS} open streams of its link: CPU s per 100k requests"),
            Row("streams_growth", f"— beside {OPEN_STREAMS} open streams: CPU, × that of none", (at_most(1.1),)),
        ),
        growth,
        who=is_adit,
        when="after",
    ),
    Case(
        "routes",
        SECTION,
        (
            Row("one", "Directory in memory, look-up among 1 route: ns"),
            Row("thousand", "— among 1,000: ns"),
            Row("many", "— among 100,000: ns"),
        ),
        routes,
        who=is_adit,
        when="after",
    ),
    Case(
        "stalled",
        SECTION,
        (
            Row("visitor_public", f"{STALLED} visitors that do not read: PSS of the server each, KiB"),
            Row("visitor_inner", "— of the agent each, KiB"),
            Row("p99", "— p99 of 200 req/s through the same link, µs"),
            Row("agent_public", f"{STALLED} uploads that the agent does not take: PSS of the server each, KiB"),
        ),
        stalled,
        who=is_adit,
        when="after",
    ),
    Case(
        "far",
        SECTION,
        tuple(
            Row(f"after_{delay}", f"100 MB download, one stream, link with {delay} ms delay each way: MB/s")
            for delay in DELAYS_MS
        ),
        far,
        who=is_adit,
        when="after",
    ),
    Case(
        "at-once",
        SECTION,
        (
            Row("rate", "8 downloads of 1 GB at once: MB/s"),
            Row("public", "— peak RSS of the server, MiB"),
            Row("inner", "— peak RSS of the agent, MiB"),
        ),
        at_once,
        who=is_adit,
        when="after",
    ),
]
