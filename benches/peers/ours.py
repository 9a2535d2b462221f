"""Adit itself, as built for release."""

import os
import pathlib
import re
import signal
import subprocess

from instructions import front
from proc import free_port, wait_for_port

from .way import Way

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
SERVER = RELEASE / "adit-server"
AGENT = RELEASE / "adit"
DOMAIN = "localhost"


def adit_server(stage, name, *options, config=None):
    command = [SERVER, "--listen", "127.0.0.1:0", "--domain", DOMAIN, *options]
    if config:
        command += ["--config", stage.write(f"{name}.toml", config)]
    program = stage.start(name, command)
    return program, program.logged(r"listening on http://(\S+)")


def adit_agent(stage, name, target, server, *options):
    """The agent and its host; its key outlives it, so a later agent of the name has the same host."""
    key = stage.folder / f"{name}.pem"
    url = server if "://" in server else f"http://{server}"
    command = [AGENT, "http", target, "--server", url, "--key", key, *options]
    program = stage.start(name, command)
    return program, re.sub(r"^http://|[:/]+\d*/?$", "", program.first_line())


def adit(*server_options, agent_options=(), bus=None):
    """As shipped, but for the options. Bodies beyond the default limit take a second server, with that limit lifted.

    With a `bus`, which starts one and gives the options that join it, agents hold another node than the one that visitors
    meet: each request crosses.
    """

    def start(stage, slug, upstream, alone=False):
        store, joined = bus(stage, f"{slug}-bus") if bus else (None, [])

        def node(name, *options):
            return adit_server(stage, f"{slug}-{name}", *server_options, *joined, *options)

        def agent(name, addr):
            return adit_agent(stage, f"{slug}-{name}", upstream, addr, *agent_options)

        public, addr = node("server")
        holder, dialled = node("holder") if bus else (None, addr)
        inner, host = agent("agent", dialled)
        programs = {"public": public, "bus": store, "holder": holder, "inner": inner}
        programs = {role: program for role, program in programs.items() if program}
        main, restart = (addr, host), lambda: agent("agent", dialled)[0]
        if alone:
            return Way(stage, main, None, programs, restart)
        light = (addr, agent("light", dialled)[1])
        _, addr = node("lifted", "--max-body", "unlimited")
        _, dialled = node("lifted-holder", "--max-body", "unlimited") if bus else (None, addr)
        large = [(addr, agent(name, dialled)[1]) for name in ("large", "beside-large")]
        return Way(stage, main, light, programs, restart, *large)

    return start


# Agents come over TCP, in TLS that server and agent speak themselves.
channel = adit("--channel-listen", "127.0.0.1:0", agent_options=["--transport", "tcp"])


def behind_tls(stage, slug, upstream, alone=False):
    """Agents come by WebSocket through TLS that nginx ends, as most operators have it; visitors meet the server itself."""

    def pair(name, *options):
        server, addr = adit_server(stage, f"{slug}-{name}", *options)
        folder = stage.folder / f"{slug}-{name}-front"
        folder.mkdir()
        command, url, certificate = front.command(folder, addr)
        ended = stage.start(f"{slug}-{name}-front", command, last_signal=signal.SIGTERM)
        wait_for_port(int(url.rsplit(":", 1)[1]), ended)
        begin = lambda: adit_agent(stage, f"{slug}-{name}-agent", upstream, url, "--ca-file", certificate)
        inner, host = begin()
        return {"public": server, "front": ended, "inner": inner}, (addr, host), begin

    programs, main, begin = pair("plain")
    if alone:
        return Way(stage, main, None, programs, lambda: begin()[0])
    large = pair("lifted", "--max-body", "unlimited")[1]
    return Way(stage, main, None, programs, lambda: begin()[0], large)


def redis(stage, name):
    port = free_port()
    program = stage.start(name, ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", ""])
    wait_for_port(port, program)
    return program, ["--bus", f"redis://127.0.0.1:{port}"]


def default_workers():
    """What `--workers` is when nobody says."""
    out = subprocess.run([SERVER, "config", "check"], capture_output=True, text=True)
    found = re.search(r"^workers = (\d+)", out.stdout, re.M)
    return int(found.group(1)) if found else None


def lacks_redis():
    out = subprocess.run([SERVER, "config", "check", "--bus", "redis://127.0.0.1:1"], capture_output=True, text=True)
    # Nobody is there to be joined; what counts is that it was tried.
    return "this build has no such bus" if "no bus is called" in out.stderr else None
