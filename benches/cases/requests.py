"""Small requests: as many as there can be, one after another, at a fixed rate, on new connections."""

from load import Measured
from peers import YARDSTICK

from .figures import Case, Row, at_least, at_most, cpu_rows

SECTION = "Small requests"
FIXED_RATE = 2000


def many(bench, peer):
    way = bench.way(peer)
    with Measured(way) as measured:
        found = bench.loads.wrk(way.main, "/1k", 64)
    return {"rate": found["rate"], "p99": found["p99"] / 1000, **measured.per_100k(found["requests"])}


def single(bench, peer):
    found = bench.loads.wrk(bench.way(peer).main, "/1k", 1)
    return {"p50": found["p50"], "p99": found["p99"]}


def fixed(bench, peer):
    way = bench.way(peer)
    with Measured(way) as measured:
        found = bench.loads.pace(way.main, "/1k", FIXED_RATE, 32)
    return {"p50": found["p50_us"], "p99": found["p99_us"], **measured.per_100k(found["requests"])}


def reconnecting(bench, peer):
    way = bench.way(peer)
    with Measured(way) as measured:
        found = bench.loads.wrk(way.main, "/1k", 64, headers=["Connection: close"])
    return {"rate": found["rate"], **measured.per_100k(found["requests"])}


CASES = [
    Case(
        "get1k",
        SECTION,
        (
            Row("rate", "1 KiB GET, 64 connections: req/s", (at_least(1.0, YARDSTICK), at_least(8, "frp"))),
            Row("p99", "— p99, ms"),
            *cpu_rows("requests", (at_most(0.9, YARDSTICK),)),
            Row("instructions", "— thousand instructions per request, user and kernel", (at_most(75),), optional=True),
        ),
        many,
    ),
    Case(
        "single",
        SECTION,
        (
            Row("p50", "1 KiB GET, one connection: p50, µs", (at_most(1.15, YARDSTICK),)),
            Row("p99", "— p99, µs"),
        ),
        single,
    ),
    Case(
        "fixed",
        SECTION,
        (
            Row("p50", f"1 KiB GET at {FIXED_RATE:,} req/s: p50, µs"),
            Row("p99", "— p99, µs", (at_most(1.5, YARDSTICK),)),
            *cpu_rows("requests"),
        ),
        fixed,
    ),
    Case(
        "reconnect",
        SECTION,
        (
            Row("rate", "1 KiB GET, new connection each, 64 at once: req/s", (at_least(0.9, YARDSTICK),)),
            *cpu_rows("requests"),
        ),
        reconnecting,
    ),
]
