"""What one tunnel notices of a flood on another that has a limit."""

import contextlib
import json
import time

from load import Busy
from peers.ours import adit_agent, adit_server
from peers.way import Way

from .beside import SETTLE, light
from .figures import Case, Row, at_most, is_adit

SECTION = "A flood beside a light tunnel"
LIMIT = 500
# How much more the flooded tunnel is asked for.
TIMES = 10
FLOOD = LIMIT * TIMES
CONNECTIONS = 64

# Answers that refuse are answers, and their connections go on.
SCRIPT = f"""
function delay() return {CONNECTIONS * 1000 // FLOOD} end
done = function(summary)
  io.stderr:write(string.format('\\n{{"requests": %d, "refused": %d}}\\n', summary.requests, summary.errors.status))
end
"""

LIMITED = f"""
[limits]
tunnel_requests_per_second = {LIMIT}
tunnel_request_burst = {LIMIT}
"""


@contextlib.contextmanager
def two_tunnels(bench, name, config):
    """A server with two agents: the host to flood, and the other."""
    with bench.stage.scene():
        server, addr = adit_server(bench.stage, f"{name}-server", config=config)
        hosts = [adit_agent(bench.stage, f"{name}-{role}", bench.upstream, addr)[1] for role in ("flooded", "light")]
        yield tuple(Way(bench.stage, (addr, host), None, {"public": server}) for host in hosts)


def beside(bench, place, flooded):
    """The light tunnel's figures while the other is flooded, and what came of the flood."""
    addr, host = flooded
    with bench.stage.scene():
        script = bench.stage.write("flood.lua", SCRIPT)
        words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{bench.seconds + 2}s", "-s", script, "-H", f"Host: {host}"]
        program = bench.stage.start("flood", [*words, f"http://{addr}/1k"])
        time.sleep(SETTLE)
        with Busy() as busy:
            found = light(bench, place)
        carried = json.loads(program.logged(r"(\{.*\})"))
    return found, carried, busy.percent


def flood(bench, peer):
    """In turn: the light tunnel alone, and beside a flood, where there is a limit and where there is none."""
    figures = {}
    with two_tunnels(bench, "limited", LIMITED) as limited, two_tunnels(bench, "unlimited", None) as unlimited:
        for _ in range(bench.rounds):
            for name, (flooded, other) in (("", limited), ("free_", unlimited)):
                alone = light(bench, other.main)
                found, carried, busy = beside(bench, other.main, flooded.main)
                of_round = {
                    "alone": alone["p99_us"],
                    "p50": found["p50_us"],
                    "p99": found["p99_us"],
                    "growth": found["p99_us"] / alone["p99_us"],
                    "rate": carried["requests"] / (bench.seconds + 2),
                    "refused": 100 * carried["refused"] / carried["requests"],
                    "busy": busy,
                }
                for key, value in of_round.items():
                    figures.setdefault(name + key, []).append(value)
    return figures


CASES = [
    Case(
        "flood",
        SECTION,
        (
            Row("p99", f"200 req/s beside {FLOOD:,} to a tunnel that may have {LIMIT}: p99, µs"),
            Row("growth", "— × its p99 with nothing beside it", (at_most(2),)),
            Row("alone", "— p99 with nothing beside it, µs"),
            Row("p50", "— p50, µs"),
            Row("rate", "— the flood: req/s"),
            Row("refused", "— of it refused: %"),
            Row("busy", "— processors in use meanwhile, by anybody: %"),
            Row("free_p99", f"200 req/s beside {FLOOD:,} to a tunnel without a limit: p99, µs"),
            Row("free_growth", "— × its p99 with nothing beside it"),
        ),
        flood,
        who=is_adit,
        when="after",
    ),
]
