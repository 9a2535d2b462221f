"""Adit beside other ways to the same upstream, in interleaved rounds. Started by run.sh; prints Markdown."""

import argparse
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict

from cases import CASES
from cases.figures import NotApplicable
from load import LOAD, Busy, Instructions, Loads
from peers import PEERS
from peers.ours import RELEASE, ROOT
from proc import Stage
from report import Report, write_page

COUNTER = ROOT / "benches" / "instructions.py"


class Bench:
    """The run: what stands, and what was found."""

    def __init__(self, stage, given, peers, cases, left_out):
        self.stage = stage
        self.rounds = given.rounds
        self.seconds = given.seconds
        self.peers = peers
        self.cases = cases
        self.left_out = left_out
        self.loads = Loads(stage, given.seconds)
        # A machine that is busy before the run begins measures somebody else's work too.
        with Busy() as busy:
            time.sleep(2)
        self.busy_before = busy.percent
        self.upstream = stage.start("upstream", [LOAD, "serve"]).first_line()
        self.figures = defaultdict(lambda: defaultdict(list))
        self.failures = {}
        self.instructions = []
        self.commit = commit()
        self._ways = {}
        self._asked = {}

    def way(self, peer):
        """The peer's way, started when it is first wanted. One that does not start fails each of its cases."""
        if peer.slug not in self._ways:
            try:
                self._ways[peer.slug] = peer.start(self.stage, peer.slug, self.upstream)
            except Exception as why:
                self._ways[peer.slug] = why
        way = self._ways[peer.slug]
        if isinstance(way, Exception):
            raise RuntimeError(f"did not start: {way}")
        return way

    def once_a_round(self, what, ask):
        if what not in self._asked:
            self._asked[what] = ask()
        return self._asked[what]

    def run(self):
        self.each("alone", self.peers)
        if any(case.when == "rounds" for case in self.cases):
            with self.stage.scene():
                for turn in range(self.rounds):
                    say(f"round {turn + 1} of {self.rounds}")
                    self._asked.clear()
                    # Who comes first in one round comes last in the next.
                    at = turn % len(self.peers)
                    self.each("rounds", self.peers[at:] + self.peers[:at])
        self.each("after", self.peers)

    def each(self, when, peers):
        for case in self.cases:
            for peer in peers:
                if case.when == when and case.who(peer):
                    self.measure(case, peer)

    def measure(self, case, peer):
        began = time.monotonic()
        try:
            for key, found in case.run(self, peer).items():
                values = found if isinstance(found, list) else [found]
                self.figures[case.slug, key][peer.slug] += values
            outcome = "done"
        except NotApplicable as why:
            outcome = f"not applicable: {why}"
        except Exception as why:
            # One way that fails must not hide what the others do, nor be taken for one that was not asked.
            self.failures[case.slug, peer.slug] = str(why) or repr(why)
            outcome = f"FAILED: {why}"
        say(f"  {case.slug}: {peer.title}: {outcome} ({time.monotonic() - began:.1f} s)")

    def json(self):
        return {
            "rounds": self.rounds,
            "seconds": self.seconds,
            "commit": self.commit,
            "figures": {f"{case}.{row}": dict(by_peer) for (case, row), by_peer in self.figures.items()},
            "failures": {f"{case}.{slug}": why for (case, slug), why in self.failures.items()},
        }


def say(words):
    print(words, file=sys.stderr, flush=True)


def commit():
    command = ["git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*"]
    out = subprocess.run(command, capture_output=True, text=True)
    return f"commit {out.stdout.strip()}" if out.returncode == 0 else "no commit"


def instructions():
    """The instructions that callgrind counts, which is slow but is the same everywhere."""
    if not COUNTER.exists():
        return []
    say("instructions, by callgrind")
    command = [sys.executable, "-B", COUNTER, "--binaries", RELEASE]
    out = subprocess.run(command, capture_output=True, text=True)
    if out.returncode == 0:
        return out.stdout.strip().split("\n\n")[0].splitlines()
    return [f"Not counted: {(out.stderr.strip() or 'no words').splitlines()[-1]}"]


def chosen(all_of, names, what):
    """Those of these names, in the order of the list."""
    unknown = set(names) - {one.slug for one in all_of}
    if unknown:
        raise SystemExit(f"no such {what}: {', '.join(sorted(unknown))}; there are {', '.join(one.slug for one in all_of)}")
    return [one for one in all_of if one.slug in names]


def parse():
    names = lambda text: text.split(",")
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=3, help="how long each load of a round runs")
    arguments.add_argument("--cases", type=names, metavar="A,B", help=", ".join(case.slug for case in CASES))
    arguments.add_argument("--peers", type=names, metavar="A,B", help=", ".join(peer.slug for peer in PEERS))
    arguments.add_argument("--json", type=pathlib.Path, metavar="FILE", help="every figure of every round")
    arguments.add_argument("--page", type=pathlib.Path, metavar="FILE", help="put the results between the page's marks")
    arguments.add_argument("--no-instructions", action="store_true", help="do not run callgrind where perf counts nothing")
    return arguments.parse_args()


def main():
    given = parse()
    # 10,000 links are as many descriptors, in the server and in the load.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Ends the stage too, as an exception does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # What a load says when it gives up is its first line.
    os.environ["RUST_BACKTRACE"] = "0"
    Instructions.probe()
    cases = chosen(CASES, given.cases, "case") if given.cases else CASES
    peers = chosen(PEERS, given.peers, "peer") if given.peers else [peer for peer in PEERS if peer.shown]
    left_out = {peer.title: why for peer in peers if (why := peer.missing())}
    peers = [peer for peer in peers if peer.title not in left_out]
    with tempfile.TemporaryDirectory(prefix="adit-bench-") as folder, Stage(folder) as stage:
        # Workers of nginx are nobody.
        pathlib.Path(folder).chmod(0o755)
        bench = Bench(stage, given, peers, cases, left_out)
        bench.run()
    if not Instructions.available and not given.no_instructions:
        bench.instructions = instructions()
    text = Report(bench).text()
    print(text)
    if given.page:
        write_page(given.page, text)
    if given.json:
        given.json.write_text(json.dumps(bench.json(), indent=1))
    if bench.failures:
        sys.exit(f"{len(bench.failures)} cases failed")


if __name__ == "__main__":
    main()
