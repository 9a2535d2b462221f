"""A WebSocket relay beside a direct connection: as it is, with steps, shared by all, and at the end of a tunnel."""

import re

from peers.ours import AGENT, adit_server

from .figures import Case, Row, at_least, is_adit

SECTION = "WebSocket relay"

# Each message of the load is a line of JSON.
STEPS = ("--incoming", "lines,json")


def listening(bench, name, *options):
    program = bench.stage.start(name, [AGENT, "ws", f"ws://{bench.upstream}/ws", "--listen", "127.0.0.1:0", *options])
    addr = program.first_line().removeprefix("ws://")
    return program, (addr, addr)


def published(bench, name):
    _, addr = adit_server(bench.stage, f"{name}-server")
    key = bench.stage.folder / f"{name}.pem"
    command = [AGENT, "ws", f"ws://{bench.upstream}/ws", "--server", f"http://{addr}", "--key", key]
    program = bench.stage.start(name, command)
    return addr, re.sub(r"^http://|[:/]+\d*/?$", "", program.first_line())


def relayed(sockets):
    def run(bench, peer):
        found = {}
        with bench.stage.scene():
            program, plain = listening(bench, f"relay-{sockets}")
            _, steps = listening(bench, f"relay-steps-{sockets}", *STEPS)
            ways = {
                "direct": (bench.upstream, bench.upstream),
                "relay": plain,
                "steps": steps,
                "tunnel": published(bench, f"relay-tunnel-{sockets}"),
            }
            for name, place in ways.items():
                measured = bench.loads.load("ws", place, sockets, bench.seconds)
                found[f"{name}_rate"] = measured["round_trips"] / measured["seconds"]
                found[f"{name}_p99"] = measured["p99_us"]
            found["of_direct"] = found["relay_rate"] / found["direct_rate"]
            found["memory"] = program.memory() / 1024
        return found

    return run


def rows(what):
    def pair(name, title):
        return Row(f"{name}_rate", f"— {title}: round trips/s"), Row(f"{name}_p99", f"— {title}: p99, µs")

    return (
        Row("of_direct", f"Relay without steps, {what}: round trips of a direct connection's", (at_least(0.25),)),
        *pair("direct", "a direct connection"),
        *pair("relay", "the relay without steps"),
        *pair("steps", "with lines and JSON read on the way in"),
        *pair("tunnel", "without steps, at the end of a tunnel"),
        Row("memory", "— MiB of the relay without steps, afterwards"),
    )


CASES = [
    Case("relay1", SECTION, rows("1 visitor"), relayed(1), is_adit),
    Case("relay100", SECTION, rows("100 visitors"), relayed(100), is_adit),
]
