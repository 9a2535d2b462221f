"""What is paid for nothing: idle processes, idle links, and the time until the first answer."""

import json
import time

from peers.ours import adit_server

from .figures import Case, Row, at_most, is_adit

SECTION = "At rest"
STARTS = 10
# As shipped, Adit allocates by mimalloc, which holds more than the system's allocator: for that one it would be 6.
IDLE_MIB = 9

# A fleet of agents behind one address is what admission is there to refuse.
MANY_OF_ONE_ADDRESS = """
[admission]
max_pending_per_address = 1024
max_links_per_address = 20000
registrations_per_minute = "unlimited"
"""


def processes(bench, peer):
    """A way of its own, so that nobody else shares its pages."""
    with bench.stage.scene():
        way = peer.start(bench.stage, f"{peer.slug}-idle", bench.upstream, alone=True)
        time.sleep(1)
        memory = {role: program.memory() / 1024 for role, program in way.programs.items()}
        starts = [way.restart_inner() * 1000 for _ in range(STARTS)] if "inner" in way.programs else []
    return {**memory, **({"start": starts} if starts else {})}


def links(count):
    def run(bench, peer):
        with bench.stage.scene():
            server, addr = adit_server(bench.stage, f"links-{count}", config=MANY_OF_ONE_ADDRESS)
            time.sleep(0.5)
            before = server.memory()
            json.loads(bench.loads.begin("links", addr, count).first_line())
            time.sleep(1)
            return {"per_link": (server.memory() - before) / count}

    return run


CASES = [
    Case(
        "idle",
        SECTION,
        (
            Row("public", "Idle process, PSS: the public side, MiB", (at_most(IDLE_MIB),)),
            Row("inner", "— next to the upstream, MiB", (at_most(IDLE_MIB),)),
            Row("start", "— start of the one next to the upstream → first 200, ms", (at_most(20),)),
        ),
        processes,
        when="alone",
    ),
    *(
        Case(
            f"links{count}",
            SECTION,
            (Row("per_link", f"{count:,} idle links: PSS of the server per link, KiB", (at_most(12),)),),
            links(count),
            who=is_adit,
            when="alone",
        )
        for count in (1000, 10_000)
    ),
]
