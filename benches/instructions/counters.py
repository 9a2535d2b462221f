"""The programs under test, and two ways to count what they do between two moments: callgrind and strace."""

import pathlib
import re
import shutil
import signal
import subprocess
import time

PATIENCE = 60


class Program:
    """A running program; its words go to files in `folder`."""

    def __init__(self, name, command, folder):
        self.name = name
        self.out = pathlib.Path(folder) / f"{name}.out"
        self.err = pathlib.Path(folder) / f"{name}.err"
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.child = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    @property
    def pid(self):
        return self.child.pid

    def says(self, pattern):
        """Waits for words; what the pattern's group found in them."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            ended = self.child.poll() is not None
            for path in (self.out, self.err):
                if found := re.search(pattern, path.read_text(errors="replace"), re.MULTILINE):
                    return found[1]
            if ended:
                break
            time.sleep(0.02)
        raise SystemExit(f"{self.name} did not say {pattern!r}:\n{self.err.read_text(errors='replace')[-2000:]}")

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Callgrind:
    """Counts the instructions that programs execute in user space. The programs run in valgrind from their start."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.on = False

    def wrap(self, name, command):
        return [
            "valgrind",
            "--tool=callgrind",
            "--instr-atstart=no",
            "--read-inline-info=no",
            f"--log-file={self.folder / name}.valgrind",
            f"--callgrind-out-file={self.folder / name}.callgrind",
            *command,
        ]

    def begin(self, programs):
        # Switched on once and left on: switching throws away everything that valgrind has translated.
        if not self.on:
            control(programs, "-i", "on")
            self.on = True
        control(programs, "-z")

    def end(self, programs, case):
        """Instructions by program, and the file that tells where they were spent."""
        control(programs, "-d", case)
        found = {}
        for program in programs:
            newest = max(self.folder.glob(f"{program.name}.callgrind.*"), key=lambda path: int(path.suffix[1:]))
            kept = newest.rename(self.folder / f"callgrind.out.{case}.{program.name}")
            totals = re.search(r"^totals: (\d+)", kept.read_text(errors="replace"), re.MULTILINE)
            found[program.name] = int(totals[1])
        return found


def control(programs, *words):
    """Tells valgrind in each of the programs something, and waits until it has done it."""
    telling = [
        subprocess.Popen(["callgrind_control", *words, str(program.pid)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for program in programs
    ]
    for child in telling:
        said, _ = child.communicate(timeout=PATIENCE)
        if child.returncode != 0 or b"Error" in said:
            raise SystemExit(f"callgrind_control {' '.join(words)}: {said.decode()}")


class Strace:
    """Counts system calls of programs that run as they are."""

    @staticmethod
    def available():
        return shutil.which("strace") is not None

    def wrap(self, _name, command):
        return command

    def begin(self, programs):
        self.tracing = [
            subprocess.Popen(
                ["strace", "-c", "-f", "-U", "name,calls", "-p", str(program.pid)],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )
            for program in programs
        ]  # fmt: skip
        for child in self.tracing:
            said = child.stderr.readline()
            if "attached" not in said:
                raise SystemExit(f"strace cannot attach: {said}")
        time.sleep(0.1)

    def end(self, programs, _case):
        found = {}
        for program, child in zip(programs, self.tracing, strict=True):
            child.send_signal(signal.SIGINT)
            _, said = child.communicate(timeout=PATIENCE)
            calls = re.findall(r"^(\w+) +(\d+)$", said, re.MULTILINE)
            found[program.name] = {name: int(count) for name, count in calls if name != "total"}
        return found
