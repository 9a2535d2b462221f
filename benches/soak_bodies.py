"""Bodies of many gigabytes through a release build, and what both processes grew to. Started by soak_bodies.sh."""

import sys
import tempfile

from load import LOAD, Loads
from peers.ours import adit_agent, adit_server
from proc import Stage

GIGABYTES = int(sys.argv[1]) if len(sys.argv) > 1 else 5

# Beyond this the memory of a process depends on the size of the body.
MOST_MIB = 64


def main():
    with tempfile.TemporaryDirectory(prefix="adit-soak-") as folder, Stage(folder) as stage:
        loads = Loads(stage, seconds=60 * GIGABYTES)
        upstream = stage.start("upstream", [LOAD, "serve"]).first_line()
        server, addr = adit_server(stage, "server", "--max-body", "unlimited")
        agent, host = adit_agent(stage, "agent", upstream, addr, "-q")
        found = {
            "download": loads.load("pull", (addr, host), f"/{GIGABYTES}g", 1),
            "upload": loads.load("push", (addr, host), "/post", GIGABYTES * 1000),
        }
        for what, measured in found.items():
            rate = measured["bytes"] / measured["seconds"] / 1e6
            print(f"{what}: {measured['bytes'] / 1e9:.0f} GB, {rate:,.0f} MB/s")
        peaks = {name: program.memory("VmHWM", "status") / 1024 for name, program in (("server", server), ("agent", agent))}
        for name, peak in peaks.items():
            print(f"{name}: peak RSS {peak:.1f} MiB")
        if max(peaks.values()) > MOST_MIB:
            sys.exit(f"more than {MOST_MIB} MiB: memory grows with the body")


main()
