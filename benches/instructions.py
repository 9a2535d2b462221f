#!/usr/bin/env python3
"""What a request costs, in figures that noise does not touch: user-space instructions of server and agent by callgrind,
and their system calls by strace, for the work the kernel does is not in the instructions.

    benches/instructions.py                    build the release binaries, count, print
    benches/instructions.py --top              and the functions that cost most
    benches/instructions.py --check            and fail where a figure exceeds its budget
    benches/instructions.py --write-budget     measure thrice, and take that with some room as the budget from now on
    benches/instructions.py --tls              with the link inside TLS, which nginx ends in front of the server
    benches/instructions.py --channel          with the link over TCP, in TLS that agent and server speak themselves

Both binaries run as shipped, over plain ws:// on loopback unless told otherwise; a case's connections, windows and pools are warm when the
counting begins. The load is a few hundred requests: valgrind slows a program down fifty times, and more would only
repeat the same figure.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import tomllib

from instructions import front
from instructions.counters import Callgrind, Program, Strace
from instructions.profile import Profile, short
from instructions.visitor import Connection, Echo, Reconnecting, Requests

HERE = pathlib.Path(__file__).resolve().parent
BUDGET = HERE / "instructions" / "budget.toml"
# What a budget leaves above the figure it was written from: other processors and C libraries move a figure by one or two
# percent, and a change that costs more than this is one to talk about.
ROOM = 1.05
# How often a case is counted for a budget, and at most for a check. Most figures repeat within half a percent; that of an
# upload, whose pieces meet two processes as they come, within four.
ROUNDS = 3
PROGRAMS = ("server", "agent")
# Of the C library, which Rust calls by default, and of mimalloc.
ALLOCATORS = {
    "malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc",
    "mi_malloc", "mi_zalloc", "mi_realloc", "mi_malloc_aligned", "mi_zalloc_aligned", "mi_realloc_aligned",
}  # fmt: skip
# The server's start is to be seen, its requests are not.
SERVER_QUIET = ("--log-filter", "warn,adit_server=info")


class Case:
    """One kind of exchange: how to begin it, how often it runs before and while it is counted."""

    def __init__(self, name, words, warm_up, count, begin):
        self.name = name
        self.words = words
        self.warm_up = warm_up
        self.count = count
        self.begin = begin


def upload(open):
    return Requests(open, 1, "POST", "/post", b"x" * 102_400)


CASES = [
    Case("get-1k", "1 KiB GET, one connection", 50, 300, lambda open: Requests(open, 1, "GET", "/1k")),
    Case("get-1k-64", "1 KiB GET, 64 connections in lock step", 128, 640, lambda open: Requests(open, 64, "GET", "/1k")),
    Case("get-100k", "100 KiB GET", 10, 60, lambda open: Requests(open, 1, "GET", "/100k")),
    Case("post-100k", "100 KiB POST", 10, 60, upload),
    Case("websocket-100", "WebSocket round trip of 100 bytes", 50, 300, lambda open: Echo(open, 100)),
    Case("connect", "1 KiB GET, new connection each", 20, 150, lambda open: Reconnecting(open, "/1k")),
]


class Stage:
    """Server, agent and upstream, wrapped in what counts them."""

    def __init__(self, folder, binaries, counter, quiet, tls=False, channel=False):
        self.counter = counter
        self.running = []
        upstream = self.start("upstream", [sys.executable, "-B", HERE / "instructions" / "upstream.py"], folder)
        target = upstream.says(r"^(\d+)\n")
        command = [binaries / "adit-server", "--listen", "127.0.0.1:0", *(SERVER_QUIET if quiet else ())]
        command += ["--channel-listen", "127.0.0.1:0"] if channel else []
        server = self.start("server", counter.wrap("server", command), folder)
        url = server.says(r"listening on (http://\S+)")
        host, port = url.removeprefix("http://").rsplit(":", 1)
        self.address = (host, int(port))
        options = ["--transport", "tcp"] if channel else []
        if tls:
            command, url, certificate = front.command(folder, f"{host}:{port}")
            self.start("front", command, folder)
            options += ["--ca-file", certificate]
        command = [binaries / "adit", "http", target, "--server", url, "--key", folder / "key.pem", *options]
        agent = self.start("agent", counter.wrap("agent", command + (["-q"] if quiet else [])), folder)
        self.host = agent.says(r"^http://(\S+?)/?\n")
        self.programs = [server, agent]

    def start(self, name, command, folder):
        self.running.append(Program(name, command, folder))
        return self.running[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in reversed(self.running):
            program.stop()

    def count(self, case):
        """What the counter found between the first and the last of the case's requests."""
        load = case.begin(lambda: Connection(self.address, self.host))
        load.run(case.warm_up)
        self.counter.begin(self.programs)
        load.run(case.count)
        found = self.counter.end(self.programs, case.name)
        load.close()
        return found


def instructions(folder, arguments, cases, rounds=1):
    """Instructions per request, by case and program, one figure a round."""
    with Stage(folder, arguments.binaries, Callgrind(folder), arguments.quiet, arguments.tls, arguments.channel) as stage:
        found = {}
        for case in cases:
            print(f"  instructions: {case.words}", file=sys.stderr)
            counts = [stage.count(case) for _ in range(rounds)]
            found[case.name] = {name: [round(count[name] / case.count) for count in counts] for name in PROGRAMS}
        return found


def each(counted, choose):
    """One figure for each case and program, chosen from those of the rounds."""
    return {case: {name: choose(figures) for name, figures in by.items()} for case, by in counted.items()}


def system_calls(folder, arguments, cases):
    """System calls per request, by case, program and name."""
    with Stage(folder, arguments.binaries, Strace(), arguments.quiet, arguments.tls, arguments.channel) as stage:
        found = {}
        for case in cases:
            print(f"  system calls: {case.words}", file=sys.stderr)
            found[case.name] = {
                program: {name: count / case.count for name, count in calls.items()}
                for program, calls in stage.count(case).items()
            }
        return found


def table(cases, counted, calls):
    print("| user-space instructions per request | server | agent | together | system calls |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for case in cases:
        server, agent = (counted[case.name][program] for program in PROGRAMS)
        called = " + ".join(f"{sum(calls[case.name][program].values()):.2f}" for program in PROGRAMS) if calls else "–"
        print(f"| {case.words} | {server:,} | {agent:,} | {server + agent:,} | {called} |")
    if calls:
        print("\nSystem calls per request, those above 0.05:")
        for case in cases:
            for program in PROGRAMS:
                shown = sorted(calls[case.name][program].items(), key=lambda item: -item[1])
                words = ", ".join(f"{name} {count:.2f}" for name, count in shown if count > 0.05)
                print(f"  {case.name} {program}: {words}")


def top(folder, cases):
    """What functions cost, and who asks for memory, for each case and program."""
    for case in cases:
        for program in PROGRAMS:
            profile = Profile(folder / f"callgrind.out.{case.name}.{program}")
            rankings = {
                "instructions per request, with what it calls": profile.together(),
                "instructions per request, alone": profile.alone,
                "requests for memory per request": profile.callers(ALLOCATORS),
            }
            for words, ranking in rankings.items():
                print(f"\n{case.name}, {program}: {words}")
                for name, figure in ranking.most_common(30):
                    print(f"  {figure / case.count:12,.2f}  {short(name)}")


def check(folder, arguments, cases, counted):
    """Whether every figure keeps to its budget. One that does not is counted again: a regression is there each time."""
    budget = tomllib.loads(BUDGET.read_text())
    least = each(counted, min)
    for _ in range(ROUNDS - 1):
        again = [case for case in cases if any(over(case, least, budget))]
        if again:
            for name, by in each(instructions(folder, arguments, again), min).items():
                least[name] = {program: min(figure, least[name][program]) for program, figure in by.items()}
    exceeding = [line for case in cases for line in over(case, least, budget)]
    for line in exceeding:
        print(f"error: {line}")
    if exceeding:
        print("See what costs: benches/instructions.py --top. If it is worth that: benches/instructions.py --write-budget")
    else:
        print("Every figure keeps to its budget, benches/instructions/budget.toml.")
    return not exceeding


def over(case, figures, budget):
    """What there is to say about the figures of a case that exceed their budget."""
    for program in PROGRAMS:
        figure, most = figures[case.name][program], budget[case.name][program]
        if figure > most:
            above = f"{figure / most - 1:.1%} above its budget of {most:,}"
            yield f"{case.words}: the {program} takes {figure:,} instructions a request, {above}"


def write_budget(counted):
    lines = [
        "# The most user-space instructions a request may take, by case and program. `make test` fails above them.",
        f"# Written by `benches/instructions.py --write-budget`, {ROOM - 1:.0%} above the highest of {ROUNDS} rounds.",
    ]
    for case, figures in each(counted, max).items():
        lines += ["", f"[{case}]", *(f"{name} = {round(figure * ROOM / 100) * 100}" for name, figure in figures.items())]
    BUDGET.write_text("\n".join(lines) + "\n")


def release_folder():
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target")) / "release"


def build():
    command = ["cargo", "build", "--release", "--locked", "--bin", "adit-server", "--bin", "adit"]
    subprocess.run(command, cwd=HERE.parent, check=True)


def parse():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--case", action="append", choices=[case.name for case in CASES], help="only this one; may repeat")
    arguments.add_argument("--binaries", type=pathlib.Path, help="take the binaries of this folder, and build none")
    arguments.add_argument("--quiet", action="store_true", help="let neither program write a line for a request")
    arguments.add_argument("--tls", action="store_true", help="put the link inside TLS; the budget is of plain links")
    arguments.add_argument("--channel", action="store_true", help="let the agent come over TCP; the budget is of WebSockets")
    arguments.add_argument("--no-calls", action="store_true", help="count no system calls")
    arguments.add_argument("--top", action="store_true", help="print what functions cost")
    arguments.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments.add_argument("--keep", type=pathlib.Path, metavar="DIR", help="keep callgrind's files and the logs here")
    arguments.add_argument("--check", action="store_true", help="fail where a figure exceeds its budget")
    arguments.add_argument("--write-budget", action="store_true", help="write the budget anew")
    given = arguments.parse_args()
    if given.write_budget and given.case or (given.write_budget or given.check) and (given.quiet or given.tls or given.channel):
        arguments.error("the budget is of all cases, with logs as shipped and plain WebSockets")
    return given


def main():
    given = parse()
    cases = [case for case in CASES if not given.case or case.name in given.case]
    if given.binaries is None:
        build()
        given.binaries = release_folder()
    with tempfile.TemporaryDirectory(prefix="adit-instructions-") as temporary:
        folder = given.keep or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        counted = instructions(folder, given, cases, ROUNDS if given.write_budget else 1)
        calls = None if given.no_calls or not Strace.available() else system_calls(folder, given, cases)
        figures = each(counted, statistics.median_low)
        if given.json:
            print(json.dumps({"instructions": figures, "system_calls": calls}, indent=2))
        else:
            table(cases, figures, calls)
        if given.top:
            top(folder, cases)
        if given.write_budget:
            write_budget(counted)
        if given.check and not check(folder, given, cases, counted):
            sys.exit(1)


if __name__ == "__main__":
    main()
