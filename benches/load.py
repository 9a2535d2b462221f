"""The loads: wrk where the rate is what is asked, our own example where it is not; and counters beside them."""

import json
import os
import shutil
import subprocess
import time

from peers.ours import RELEASE
from proc import Cpu, finish, machine_cpu

LOAD = RELEASE / "examples" / "load"

# wrk's own summary has no count of answers that stalled: the mark of Nagle's algorithm meeting a delayed
# acknowledgement is 40 ms.
STALL_US = 35_000

WRK_SCRIPT = """
if os.getenv("POST") then
  wrk.method = "POST"
  wrk.body = string.rep("x", 102400)
end
done = function(summary, latency, requests)
  local e = summary.errors
  local slow = 0
  for i = 1, #latency do
    local us, count = latency(i)
    if us >= tonumber(os.getenv("STALL_US")) then slow = slow + count end
  end
  io.write(string.format('\\n{"requests": %d, "us": %d, "bytes": %d, "failed": %d, "p50": %d, "p99": %d, "slow": %d}\\n',
    summary.requests, summary.duration, summary.bytes, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99), slow))
end
"""


class Loads:
    """Runs loads on a stage, each for so many seconds."""

    def __init__(self, stage, seconds):
        self.stage = stage
        self.seconds = seconds
        # A load that hangs is one that failed. The longest without a time of its own moves gigabytes.
        self.patience = 120 + 10 * seconds
        self.script = stage.write("wrk.lua", WRK_SCRIPT)
        self.started = 0

    def wrk(self, place, path, connections, post=False, headers=(), seconds=None):
        """As many requests as the connections carry. Times are µs."""
        addr, host = place
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds or self.seconds}s", "--latency", "-s", str(self.script)]
        for header in (f"Host: {host}", *headers):
            command += ["-H", header]
        environment = {**os.environ, "STALL_US": str(STALL_US), **({"POST": "1"} if post else {})}
        out = finish([*command, f"http://{addr}{path}"], self.patience, env=environment)
        found = json.loads(out.strip().rsplit("\n", 1)[-1])
        if found["failed"] or not found["requests"]:
            raise RuntimeError(f"{found['failed']} of {found['requests']} requests of {path} failed")
        found["rate"] = found["requests"] * 1e6 / found["us"]
        return found

    def load(self, command, place, *words):
        """A command of the example that measures and ends."""
        return self.run(command, *place, *words)

    def run(self, *words):
        return json.loads(finish([LOAD, *words], self.patience))

    def begin(self, *words):
        """A command of the example that goes on until it is stopped, or whose end somebody else awaits."""
        self.started += 1
        return self.stage.start(f"load-{self.started}-{words[0]}", [LOAD, *words])

    def pace(self, place, path, rate, connections, seconds=None):
        found = self.load("pace", place, path, round(rate), seconds or self.seconds, connections)
        if found["failed"] or found["unsent"]:
            raise RuntimeError(f"{found['failed']} of {found['requests']} requests failed, {found['unsent']} never left")
        return found


class Busy:
    """The share of all processors that was in use in a `with` block, by anybody."""

    def __enter__(self):
        self.before = machine_cpu()
        return self

    def __exit__(self, *_):
        busy, there = (now - before for now, before in zip(machine_cpu(), self.before))
        self.percent = 100 * busy / max(there, 1e-9)


class Instructions:
    """Counts the instructions of programs while a load runs, user and kernel, where the machine lets us."""

    available = False

    @classmethod
    def probe(cls):
        if shutil.which("perf"):
            out = subprocess.run(["perf", "stat", "-x,", "-e", "instructions", "true"], capture_output=True, text=True)
            cls.available = out.returncode == 0 and "not " not in out.stderr

    def __init__(self, programs):
        self.pids = [pid for program in programs for pid in program.pids()]
        self.count = None

    def __enter__(self):
        if self.available:
            command = ["perf", "stat", "-x,", "-e", "instructions", "-p", ",".join(map(str, self.pids))]
            self.perf = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            time.sleep(0.2)
        return self

    def __exit__(self, *_):
        if self.available:
            self.perf.send_signal(2)
            first = self.perf.communicate()[1].split(",", 1)[0].strip()
            self.count = int(first) if first.isdigit() else None


class Measured:
    """CPU and instructions of a way in a `with` block, by request."""

    def __init__(self, way):
        self.way = way
        self.cpu = Cpu(way.programs.values())
        self.instructions = Instructions(way.programs.values())

    def __enter__(self):
        self.instructions.__enter__()
        self.cpu.__enter__()
        return self

    def __exit__(self, *reason):
        self.cpu.__exit__(*reason)
        self.instructions.__exit__(*reason)

    def per_100k(self, requests):
        """CPU seconds of all programs, and of each by role, that 100,000 requests take."""
        scale = 1e5 / requests
        found = {f"cpu_{role}": self.cpu.spent[program] * scale for role, program in self.way.programs.items()}
        found["cpu"] = self.cpu.total() * scale
        if self.instructions.count:
            found["instructions"] = self.instructions.count / requests / 1000
        return found
