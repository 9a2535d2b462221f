"""Programs on loopback, and what /proc says about them."""

import contextlib
import ctypes
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1
# Seconds within which a program says what is waited for. Ten thousand links take the longest.
PATIENCE = 120
LIBC = ctypes.CDLL(None, use_errno=True)


def ending_with_us(last_signal=signal.SIGKILL):
    """For a child to call before it becomes its program: it ends when the bench does, however that ends."""
    return lambda: LIBC.prctl(PR_SET_PDEATHSIG, last_signal)


def finish(command, patience, **options):
    """Runs a program to its end, and gives what it printed."""
    command = [str(word) for word in command]
    options |= {"capture_output": True, "text": True, "preexec_fn": ending_with_us()}
    out = subprocess.run(command, timeout=patience, **options)
    if out.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:5])}: {out.stderr.strip()[:500]}")
    return out.stdout


class Program:
    """A child process, its words, and what it has used."""

    def __init__(self, name, command, log, last_signal=signal.SIGKILL):
        self.name = name
        self.log = pathlib.Path(log)
        self.out = self.log.with_suffix(".out")
        # Files, for a pipe that nobody reads would stop a program that logs each connection to it.
        with open(self.out, "wb") as out, open(log, "wb") as err:
            self.child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                preexec_fn=ending_with_us(last_signal),
            )

    def first_line(self):
        """What it prints first, which for some loads is their only word, at their end."""
        return self._said(self.out, r"^(.*)\n")

    def logged(self, pattern):
        """The first group of a pattern, once the program has logged it."""
        return self._said(self.log, pattern)

    def _said(self, file, pattern):
        deadline = time.monotonic() + PATIENCE
        while True:
            ended = self.child.poll() is not None
            found = re.search(pattern, file.read_text(errors="replace"))
            if found:
                return found.group(1)
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} {'ended' if ended else 'is silent'}: {self.last_words()}")
            time.sleep(0.002)

    def last_words(self):
        return (self.out.read_text(errors="replace") + self.log.read_text(errors="replace"))[-1000:]

    def pids(self):
        """It and its children: nginx works in one of them."""
        children = pathlib.Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        return [self.child.pid, *map(int, children)]

    def memory(self, field="Pss", file="smaps_rollup"):
        """KiB of it and its children, such as Pss or Rss; VmHWM is in `status`."""
        found = 0
        for pid in self.pids():
            text = pathlib.Path(f"/proc/{pid}/{file}").read_text()
            found += int(re.search(rf"^{field}:\s+(\d+) kB", text, re.M).group(1))
        return found

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.child.pid}/clear_refs").write_text("5")

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(timeout=3)
            except subprocess.TimeoutExpired:
                self.child.kill()
        self.child.wait()


class Cpu:
    """The seconds of CPU, user and kernel, that programs take in a `with` block."""

    def __init__(self, programs):
        self.programs = programs
        self.spent = {}

    def __enter__(self):
        self.before = {program: taken(program) for program in self.programs}
        return self

    def __exit__(self, *_):
        for program, before in self.before.items():
            after = taken(program)
            self.spent[program] = sum(now - before.get(thread, 0) for thread, now in after.items())

    def total(self):
        return sum(self.spent.values())


def taken(program):
    """Seconds by thread: from the scheduler, which counts nanoseconds, else from the ticks of `stat`."""
    found = {}
    for pid in program.pids():
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            try:
                found[task.name] = int((task / "schedstat").read_text().split()[0]) / 1e9
            except FileNotFoundError:
                try:
                    fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
                except FileNotFoundError:
                    continue  # A thread that has just ended.
                found[task.name] = (int(fields[11]) + int(fields[12])) / TICKS
    return found


def machine_cpu():
    """Seconds that all processors together were busy, and were there, since the machine started."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS, sum(fields) / TICKS


class Stage:
    """A folder and everything that runs in it. Used as a context manager: nothing outlives it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.programs = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in reversed(self.programs):
            program.stop()

    def start(self, name, command, **options):
        program = Program(name, command, self.folder / f"{name}.log", **options)
        self.programs.append(program)
        return program

    def stop(self, programs):
        for program in programs:
            program.stop()
            self.programs.remove(program)

    @contextlib.contextmanager
    def scene(self):
        """What is started within ends with it."""
        standing = len(self.programs)
        try:
            yield
        finally:
            self.stop(self.programs[standing:][::-1])

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path


def wait_for_port(port, program):
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline or program.child.poll() is not None:
                raise RuntimeError(f"{program.name} does not listen: {program.last_words()}")
            time.sleep(0.02)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
