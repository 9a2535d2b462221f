"""`make fleet`: three nodes, Redis and HAProxy in one terminal, an agent and a visitor. Ctrl-C ends all of it.

Whatever of it is killed comes back a few seconds later, on the same port: so a machine that dies and is replaced can be
watched from here.
"""

import os
import queue
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))

from demo import BIN, PATIENCE, ROOT, Child, Failed, Left, leave  # noqa: E402
from sample_site import SampleSite  # noqa: E402
from visitor import Visitor  # noqa: E402

HERE = Path(__file__).resolve().parent
# Kept, so that the hostname is the same the next time.
KEY = ROOT / "target" / "fleet" / "key.pem"
NODES = ("node1", "node2", "node3")
BACK_AFTER = 5  # Seconds until what was killed is started again.

# HAProxy notices a node that drains after two checks, a second apart: until then the node still serves.
# The visitor's ten requests a second would drown what is worth reading: neither nodes nor agent say each of them.
SETTINGS = """\
drain_delay = "3s"
trusted_proxies = ["127.0.0.1"]
log.filter = "info,adit::access=warn"
"""

HINTS = """
  One site, published through one of three nodes; HAProxy sends you to any of them:

    {url}/

    curl {url}/

  Do something to a node, and watch this terminal. It is back {back} s after it is gone:

    kill -9    $(cat {pids}/node2)    it dies
    kill -TERM $(cat {pids}/node2)    it drains
    kill -STOP $(cat {pids}/node2)    it hangs, until kill -CONT
    kill -9    $(cat {pids}/redis)    what joins the nodes dies

  A visitor asks ten times a second, and says here when an answer is missing. Ctrl-C ends the fleet.
"""


def main():
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, leave)
    KEY.parent.mkdir(parents=True, exist_ok=True)
    site = SampleSite(0)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="adit-fleet-") as folder:
        fleet = Fleet(Path(folder), site.server_port)
        try:
            url = fleet.start_all()
            print(HINTS.format(url=url, back=BACK_AFTER, pids=fleet.pids), flush=True)
            visitor = Visitor(url)
            threading.Thread(target=visitor.keep_asking, daemon=True).start()
            try:
                fleet.keep_running()
            finally:
                visitor.leave()
        except Left:
            return 0
        except Failed as failed:
            print(f"fleet: {failed}", file=sys.stderr)
            return 1
        finally:
            fleet.end()


class Fleet:
    """The programs, each with the port it keeps when it comes back."""

    def __init__(self, folder, site):
        self.pids = folder
        self.events = queue.Queue()
        self.children = {}
        self.ports = {name: Port() for name in ("redis", *NODES, "door")}
        self.commands = self.command_lines(folder, site)

    def command_lines(self, folder, site):
        """What is started, in this order, with the line that says it is ready, if it says so."""
        port = {name: held.number for name, held in self.ports.items()}
        settings = folder / "server.toml"
        settings.write_text(SETTINGS)
        public = f"http://localhost:{port['door']}"
        redis = [program("redis-server"), "--bind", "127.0.0.1", "--port", port["redis"], "--dir", folder]
        lines = {"redis": ([*redis, "--save", "", "--appendonly", "no"], "(Ready to accept connections)")}
        for name in NODES:
            node = [BIN / "adit-server", "--config", settings, "--listen", f"127.0.0.1:{port[name]}"]
            bus = f"redis://127.0.0.1:{port['redis']}"
            lines[name] = ([*node, "--public-url", public, "--bus", bus], r"listening on (\S+)")
        variables = {name.upper(): f"127.0.0.1:{port[name]}" for name in (*NODES, "door")} | {"DOMAIN": "localhost"}
        pairs = [f"{name}={value}" for name, value in variables.items()]
        lines["door"] = (["env", *pairs, program("haproxy"), "-db", "-f", HERE / "haproxy.cfg"], None)
        agent = [BIN / "adit", "http", site, "--server", public, "--key", KEY, "-q"]
        lines["agent"] = (agent, r"^(https?://\S+)$")
        return lines

    def start_all(self):
        """Starts everything; the URL that the agent was given."""
        return [self.start(name) for name in self.commands][-1]

    def start(self, name):
        command, ready = self.commands[name]
        child = self.children[name] = Child(name, command, self.events)
        (self.pids / name).write_text(f"{child.process.pid}\n")
        if ready:
            return child.wait_for(ready)
        # HAProxy does not say when it listens.
        self.ports[name].wait_for_listener()
        return None

    def keep_running(self):
        """Starts again what ends, until somebody wants the fleet to end."""
        while True:
            name = self.events.get()
            if name.startswith("start "):
                self.start(name.removeprefix("start "))
                continue
            status = self.children[name].process.wait()
            print(f" fleet | {name} is gone ({ending(status)}); it is back in {BACK_AFTER} s", flush=True)
            again = threading.Timer(BACK_AFTER, self.events.put, [f"start {name}"])
            again.daemon = True
            again.start()

    def end(self):
        # The agent says goodbye to nodes that are still there; after that there is nobody to drain for.
        if agent := self.children.pop("agent", None):
            agent.end()
        for child in reversed(self.children.values()):
            child.process.kill()
            child.process.wait()


class Port:
    """A port of this machine that nobody else gets while its program is away: bound, and never listening (Linux)."""

    def __init__(self):
        self.holder = socket.socket()
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            self.holder.setsockopt(socket.SOL_SOCKET, option, 1)
        self.holder.bind(("127.0.0.1", 0))
        self.number = self.holder.getsockname()[1]

    def wait_for_listener(self):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.number)).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise Failed(f"nothing listens on port {self.number} within {PATIENCE} s")


def program(name):
    """Debian keeps servers where the PATH of an ordinary user does not lead."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    if not found:
        raise Failed(f"{name} is missing: apt install {name}")
    return found


def ending(status):
    return signal.Signals(-status).name if status < 0 else f"exit {status}"


if __name__ == "__main__":
    sys.exit(main())
