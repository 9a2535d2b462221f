"""A hundred tunnels of one agent, from one file that changes: what those notice that did not."""

import asyncio
import re
import time

from peers.ours import AGENT, adit_server

from .figures import Case, Row, at_most, is_adit

SECTION = "Many tunnels from one file"
TUNNELS = 100
RELOADS = 10
# Seconds of asking before the first change, and after the last.
BEFORE, AFTER = 2, 4


def tunnels(server, key, upstream, turn):
    """The file. Each turn changes the last tunnel: where its requests go, or by which rule the server handles them."""
    text = f'server = "http://{server}"\nkey = "{key}"\n'
    for index in range(TUNNELS):
        text += f'[tunnels.t{index}]\ntarget = "{upstream}"\n'
    rules = turn // 2 + turn % 2
    text += f'policy.response_headers = {{ set = ["X-Rule: {rules}"] }}\n'
    return text + f'target_protocol = "http1"\nhost_header = "{"preserve" if turn // 2 % 2 else "rewrite"}"\n'


async def ask(server, host, until, found):
    """One visitor of one tunnel, on one connection, one request after the other."""
    address, port = server.split(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    request = f"GET /1k HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    while not until.is_set():
        began = time.monotonic()
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head.lower()).group(1))
            await reader.readexactly(length)
            ok = head.startswith(b"HTTP/1.1 200")
        except (OSError, asyncio.IncompleteReadError):
            ok = False
            reader, writer = await asyncio.open_connection(address, int(port))
        found.append((began, time.monotonic() - began, ok))
        await asyncio.sleep(0.05)
    writer.close()


async def said(log, words):
    """Waits until the agent says these words, in what it has not said before."""
    deadline = time.monotonic() + 10
    heard = ""
    while words not in heard:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the agent does not say: {words}")
        await asyncio.sleep(0.002)
        heard += log.read()


async def change(file, program, turns, until):
    """Changes the file again and again; gives how long each change took, in seconds, and when the first began."""
    await asyncio.sleep(BEFORE)
    first, took = time.monotonic(), []
    log = program.log.open()
    for text in turns:
        began = time.monotonic()
        new = file.with_suffix(".new")
        new.write_text(text)
        new.rename(file)
        program.child.send_signal(1)
        await said(log, "read anew; tunnels: 0 new, 1 changed, 0 gone, 99 as they were")
        took.append(time.monotonic() - began)
        await asyncio.sleep(0.5)
    await asyncio.sleep(AFTER)
    until.set()
    return first, took


async def visit(server, hosts, changing):
    until, same, changed = asyncio.Event(), [], []
    visitors = [ask(server, host, until, changed if name == f"t{TUNNELS - 1}" else same) for name, host in hosts.items()]
    (first, took), *_ = await asyncio.gather(changing(until), *visitors)
    return same, changed, first, took


def percentile(seconds, share):
    return sorted(seconds)[int(len(seconds) * share)] * 1e3


def reload(bench, peer):
    with bench.stage.scene():
        _, server = adit_server(bench.stage, "reload-server")
        key = bench.stage.folder / "reload.pem"
        file = bench.stage.folder / "reload-tunnels.toml"
        file.write_text(tunnels(server, key, bench.upstream, 0))
        began = time.monotonic()
        program = bench.stage.start("reload-agent", [AGENT, "start", "-c", file])
        urls = re.compile(r"^(t\d+) http://(\S+)", re.M)
        while len(hosts := dict(urls.findall(program.out.read_text()))) < TUNNELS:
            if program.child.poll() is not None or time.monotonic() - began > 60:
                raise RuntimeError(f"only {len(hosts)} tunnels came up: {program.last_words()}")
            time.sleep(0.01)
        up = time.monotonic() - began
        turns = [tunnels(server, key, bench.upstream, turn) for turn in range(1, RELOADS + 1)]
        same, changed, first, took = asyncio.run(
            visit(server, hosts, lambda until: change(file, program, turns, until))
        )
        quiet = [seconds for at, seconds, ok in same if at < first]
        during = [seconds for at, seconds, ok in same if at >= first]
        return {
            "failed": sum(not ok for *_, ok in same),
            "failed_changed": sum(not ok for *_, ok in changed),
            "asked": len(same),
            "quiet": percentile(quiet, 0.99),
            "during": percentile(during, 0.99),
            "took": [seconds * 1e3 for seconds in took],
            "up": up * 1e3,
        }


CASES = [
    Case(
        "reload",
        SECTION,
        (
            Row("failed", f"{RELOADS} reloads of {TUNNELS} tunnels: failed requests on the 99 that did not change", (at_most(0),)),
            Row("asked", "— of so many"),
            Row("failed_changed", "— failed requests on the one that did", (at_most(0),)),
            Row("quiet", "— p99 on the 99 before the first reload, ms"),
            Row("during", "— from the first reload on, ms"),
            Row("took", "— file changed and SIGHUP → all of it in force or begun, ms"),
            Row("up", "— start of the agent → all tunnels up, ms"),
        ),
        reload,
        who=is_adit,
        when="alone",
    ),
]
