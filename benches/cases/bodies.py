"""Bodies: middling ones often, a large one at once."""

import statistics

from load import STALL_US, Measured
from peers import YARDSTICK

from .figures import Case, Row, at_least, at_most, cpu_rows

SECTION = "Bodies"
STALL_MS = STALL_US / 1000


def download(bench, peer):
    found, figures = often(bench, peer, "/100k")
    return {"rate": found["bytes"] / found["us"], **figures}


def upload(bench, peer):
    found, figures = often(bench, peer, "/post", post=True)
    return {"rate": found["rate"], **figures}


def often(bench, peer, path, **options):
    way = bench.way(peer)
    with Measured(way) as measured:
        found = bench.loads.wrk(way.main, path, 16, **options)
    slow = 100 * found["slow"] / found["requests"]
    return found, {"p99": found["p99"] / 1000, "slow": slow, **measured.per_100k(found["requests"])}


def large(bench, peer):
    place = bench.way(peer).large
    rates = []
    for _ in range(3):
        found = bench.loads.load("pull", place, "/100m", 1)
        rates.append(found["bytes"] / found["seconds"] / 1e6)
    return {"rate": statistics.median(rates)}


def rows(first, bar, most_instructions):
    return (
        Row("rate", first, (at_least(bar, YARDSTICK),)),
        Row("p99", "— p99, ms", (at_most(STALL_MS),)),
        Row("slow", f"— slower than {STALL_MS:.0f} ms, %", compared=False),
        *cpu_rows("requests"),
        Row("instructions", "— thousand instructions per request", (at_most(most_instructions),), optional=True),
    )


CASES = [
    Case("get100k", SECTION, rows("100 KiB GET, 16 connections: MB/s", 2, 260), download),
    Case("post100k", SECTION, rows("100 KiB POST, 16 connections: req/s", 1.5, 200), upload),
    Case(
        "download",
        SECTION,
        (Row("rate", "100 MB download, one stream, limit lifted: MB/s", (at_least(1, YARDSTICK),)),),
        large,
    ),
]
