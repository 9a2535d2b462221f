"""What stays open: WebSockets that echo, and an event stream with many subscribers."""

from load import Measured
from peers import YARDSTICK

from .figures import Case, Row, at_least, at_most, cpu_rows

SECTION = "WebSockets and event streams"
SUBSCRIBERS = 100
# The upstream's.
EVENTS_A_SECOND = 10


def echo(sockets):
    def run(bench, peer):
        way = bench.way(peer)
        with Measured(way) as measured:
            found = bench.loads.load("ws", way.main, sockets, bench.seconds)
        cpu = measured.per_100k(found["round_trips"])
        return {"rate": found["round_trips"] / found["seconds"], "p50": found["p50_us"], "p99": found["p99_us"], **cpu}

    return run


def events(bench, peer):
    way = bench.way(peer)
    with Measured(way) as measured:
        found = bench.loads.load("events", way.main, SUBSCRIBERS, bench.seconds)
    due = SUBSCRIBERS * EVENTS_A_SECOND * bench.seconds
    # The last event may be on its way when the time is over.
    if found["events"] < due - 2 * SUBSCRIBERS:
        raise RuntimeError(f"{found['events']} of {due} events came")
    return {"p50": found["p50_us"], "p99": found["p99_us"], **measured.per_100k(found["events"])}


def rows(what, bar=(), cpu_bar=()):
    return (
        Row("rate", f"WebSocket echo, {what}: round trips/s", bar),
        Row("p50", "— p50, µs"),
        Row("p99", "— p99, µs"),
        *cpu_rows("round trips", cpu_bar),
    )


CASES = [
    Case("ws1", SECTION, rows("1 socket"), echo(1)),
    Case("ws100", SECTION, rows("100 sockets", (at_least(1, YARDSTICK),), (at_most(1, YARDSTICK),)), echo(100)),
    Case(
        "sse",
        SECTION,
        (
            Row(
                "p50",
                f"SSE, {SUBSCRIBERS} subscribers × {EVENTS_A_SECOND} events/s: p50, µs",
                (at_most(1, YARDSTICK),),
            ),
            Row("p99", "— p99, µs"),
            *cpu_rows("events"),
        ),
        events,
    ),
]
