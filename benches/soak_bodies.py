"""Bodies of many gigabytes through a release build, and what both processes grew to. Started by soak_bodies.sh."""

import pathlib
import sys
import tempfile

from stage import FILES, Stage, free_port

GIGABYTES = int(sys.argv[1]) if len(sys.argv) > 1 else 5

# Beyond this the memory of a process depends on the size of the body.
MOST_MIB = 64


def main():
    with tempfile.TemporaryDirectory(prefix="adit-soak-") as folder, Stage(folder) as stage:
        pathlib.Path(folder).chmod(0o755)
        www = stage.folder / "www"
        www.mkdir()
        with open(www / "large", "wb") as file:
            file.truncate(GIGABYTES * 1_000_000_000)
        port = free_port()
        stage.nginx("files", port, FILES)
        server, addr = stage.server("server")
        agent, host = stage.agent("agent", port, addr, "-q")
        found = {
            "download": stage.load("pull", addr, host, "/large", 1),
            "upload": stage.load("push", addr, host, "/post", GIGABYTES * 1000),
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
