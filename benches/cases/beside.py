"""What a light host notices of its neighbours: of many small requests, and of large bodies."""

import json
import time

from load import Busy
from peers import YARDSTICK

from .figures import Case, NotApplicable, Row, at_most

SECTION = "A light host beside a heavy one"
# Of what the slower of nginx in two hops and Adit carries at most: the same load for every way.
SHARE = 0.6
LIGHT_RATE = 200
LIGHT_CONNECTIONS = 8
STREAMS = 4
# The heavy load is under way, its connections made.
SETTLE = 0.7


def light(bench, place):
    return bench.loads.pace(place, "/1k", LIGHT_RATE, LIGHT_CONNECTIONS)


def least(bench, what, measure):
    """What every way of the comparison carries, asked once a round of those that are compared."""

    def ask():
        compared = [peer for peer in bench.peers if peer.slug in (YARDSTICK, "adit")]
        return min(measure(bench.way(peer)) for peer in compared or bench.peers)

    return bench.once_a_round(what, ask)


def requests_carried(bench):
    return least(bench, "requests", lambda way: bench.loads.wrk(way.main, "/1k", 64, seconds=1)["rate"])


def megabytes_carried(bench):
    def measure(way):
        found = bench.loads.load("pull", way.large, "/200m", STREAMS)
        return found["bytes"] / found["seconds"] / 1e6

    return least(bench, "megabytes", measure)


def beside(bench, place, *heavy):
    """The light host's figures while a heavy load runs, and that load's."""
    with bench.stage.scene():
        program = bench.loads.begin(*heavy)
        time.sleep(SETTLE)
        with Busy() as busy:
            found = light(bench, place)
        carried = json.loads(program.first_line())
    return found, carried, busy.percent


def small(bench, peer):
    way = bench.way(peer)
    if not way.light:
        raise NotApplicable("one host only")
    alone = light(bench, way.light)
    rate = round(SHARE * requests_carried(bench))
    heavy = ("pace", *way.main, "/1k", rate, bench.seconds + 2, 64)
    found, carried, busy = beside(bench, way.light, *heavy)
    return {
        "alone": alone["p99_us"],
        "p50": found["p50_us"],
        "p99": found["p99_us"],
        "rate": carried["requests"] / carried["seconds"],
        "heavy_p99": carried["p99_us"] / 1000,
        "busy": busy,
    }


def large(bench, peer):
    way = bench.way(peer)
    if not way.beside_large:
        raise NotApplicable("one host only")
    rate = round(SHARE * megabytes_carried(bench))
    heavy = ("drain", *way.large, "/1g", STREAMS, rate, bench.seconds + 2)
    other, carried, _ = beside(bench, way.beside_large, *heavy)
    same, _, _ = beside(bench, way.large, *heavy)
    return {
        "p50": other["p50_us"],
        "p99": other["p99_us"],
        "same": same["p99_us"],
        "rate": carried["bytes"] / carried["seconds"] / 1e6,
    }


CASES = [
    Case(
        "beside-small",
        SECTION,
        (
            Row("p99", f"{LIGHT_RATE} req/s beside {SHARE:.0%} of full load: p99, µs", (at_most(1.5, YARDSTICK),)),
            Row("p50", "— p50, µs"),
            Row("alone", "— p99 with nothing beside it, µs"),
            Row("rate", "— the heavy load: req/s", compared=False),
            Row("heavy_p99", "— its p99, ms"),
            Row("busy", "— processors in use meanwhile, by anybody: %", compared=False),
        ),
        small,
    ),
    Case(
        "beside-large",
        SECTION,
        (
            Row(
                "p99",
                f"{LIGHT_RATE} req/s beside {STREAMS} downloads, {SHARE:.0%} of full load: p99, µs",
                (at_most(1.5, YARDSTICK),),
            ),
            Row("p50", "— p50, µs"),
            Row("same", "— p99 on the host that downloads, µs", (at_most(1.5, YARDSTICK),)),
            Row("rate", "— the downloads: MB/s", compared=False),
        ),
        large,
    ),
]
