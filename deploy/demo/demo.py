"""`make demo`: a server, a sample site and an agent that publishes it, in one terminal. Ctrl-C ends all of it."""

import ctypes
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from sample_site import SampleSite

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
# Kept, so that the hostname is the same at the next demo.
KEY = ROOT / "target" / "demo" / "key.pem"
PATIENCE = 30  # Seconds; a start takes a fraction of one.
PR_SET_PDEATHSIG = 1


def main():
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, leave)
    KEY.parent.mkdir(parents=True, exist_ok=True)
    site = SampleSite(0)
    threading.Thread(target=site.serve_forever, daemon=True).start()

    events = queue.Queue()
    children = []
    try:
        server = Child("server", [BIN / "adit-server", "--listen", "127.0.0.1:0"], events)
        children.append(server)
        address = server.wait_for(r"listening on (http://\S+)")
        port = address.rsplit(":", 1)[1]
        command = [BIN / "adit", "http", str(site.server_port), "--server", f"http://localhost:{port}", "--key", KEY]
        agent = Child("agent", command, events)
        children.append(agent)
        url = agent.wait_for(r"^(https?://\S+)$")
        print(
            f"\n  The sample site on 127.0.0.1:{site.server_port} is published. Open it, or ask for it:\n\n"
            f"    {url}/\n\n"
            f"    curl {url}/\n\n"
            "  Ctrl-C ends the demo.\n",
            flush=True,
        )
        gone = events.get()
        raise Failed(f"the {gone} ended by itself")
    except Left:
        return 0
    except Failed as failed:
        print(f"demo: {failed}", file=sys.stderr)
        return 1
    finally:
        # The agent first: it says goodbye to a server that is still there.
        for child in reversed(children):
            child.end()


class Failed(Exception):
    """The demo cannot go on."""


class Left(Exception):
    """Somebody wants the demo to end."""


def leave(*_):
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    raise Left


class Child:
    """A program whose output goes to this terminal, with its name in front. It does not outlive this process."""

    def __init__(self, name, command, events):
        self.name = name
        self.lines = queue.Queue()
        # A session of its own: Ctrl-C reaches this process alone, which then ends the others in order.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ADIT_")}
        try:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                text=True,
                errors="replace",
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        except OSError as error:
            raise Failed(f"cannot start the {name}: {error}") from None
        threading.Thread(target=self.read, args=(events,), daemon=True).start()

    def read(self, events):
        for line in self.process.stdout:
            line = line.rstrip("\n")
            print(f"{self.name:>6} | {line}", flush=True)
            self.lines.put(line)
        self.lines.put(None)
        events.put(self.name)

    def wait_for(self, pattern):
        while True:
            try:
                line = self.lines.get(timeout=PATIENCE)
            except queue.Empty:
                raise Failed(f"the {self.name} was not ready within {PATIENCE} s") from None
            if line is None:
                raise Failed(f"the {self.name} ended before it was ready")
            if found := re.search(pattern, line):
                return found[1]

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def end_with_parent():
    """Even SIGKILL of this process leaves nobody behind (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
