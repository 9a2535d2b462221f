"""What is measured, and what stands around it: programs on loopback, and what /proc says about them."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
LOAD = RELEASE / "examples" / "load"
TICKS = os.sysconf("SC_CLK_TCK")

NGINX = """
worker_processes 1;
daemon off;
pid {folder}/{name}.pid;
error_log {folder}/{name}.log error;
worker_rlimit_nofile 16384;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  keepalive_requests 1000000;
  client_max_body_size 0;
  client_body_buffer_size 256k;
  # A large body would go to the disk first, and the disk be measured.
  proxy_max_temp_file_size 0;
  client_body_temp_path {folder}/{name}-body;
  proxy_temp_path {folder}/{name}-proxy;
  fastcgi_temp_path {folder}/{name}-fastcgi;
  uwsgi_temp_path {folder}/{name}-uwsgi;
  scgi_temp_path {folder}/{name}-scgi;
  {inside}
}}
"""

FILES = """
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    root {folder}/www;
    default_type application/octet-stream;
    open_file_cache max=100;
    location = /post {{ return 200 "ok"; }}
  }}
"""

HOP = """
  upstream next {{ server {next}; keepalive 128; keepalive_requests 1000000; }}
  upstream echo {{ server {echo}; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://next;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
    location /ws {{
      proxy_pass http://echo;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_set_header Host $http_host;
      proxy_read_timeout 1h;
    }}
  }}
"""

# A body limit of 100 MB downloads, and admission for 1,000 agents of one address; all else as shipped.
SERVER = """
listen = "127.0.0.1:0"
domain = "localhost"
[exchanges]
max_body = "unlimited"
[admission]
max_pending_per_address = 1024
max_links_per_address = 20000
registrations_per_minute = "unlimited"
"""


class Program:
    """A child process, its words, and what it has used."""

    def __init__(self, name, command, log):
        self.name = name
        self.log = log
        with open(log, "wb") as err:
            self.child = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True
            )

    def first_line(self):
        line = self.child.stdout.readline().strip()
        if not line:
            raise SystemExit(f"{self.name} ended: {pathlib.Path(self.log).read_text()[-2000:]}")
        return line

    def logged(self, pattern):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.child.poll() is None:
            found = re.search(pattern, pathlib.Path(self.log).read_text(errors="replace"))
            if found:
                return found.group(1)
            time.sleep(0.02)
        raise SystemExit(f"{self.name} did not start: {pathlib.Path(self.log).read_text()[-2000:]}")

    def pids(self):
        """It and its children: nginx works in one of them."""
        children = pathlib.Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        return [self.child.pid, *map(int, children)]

    def cpu(self):
        """Seconds of CPU so far, user and kernel."""
        total = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def memory(self, field, file="smaps_rollup"):
        """KiB of its own process, such as Pss or Rss; VmHWM is in `status`."""
        text = pathlib.Path(f"/proc/{self.child.pid}/{file}").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB", text, re.M).group(1))

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


class Stage:
    """Everything that runs. Used as a context manager: nothing outlives it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.programs = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in reversed(self.programs):
            program.stop()

    def start(self, name, command):
        program = Program(name, command, self.folder / f"{name}.log")
        self.programs.append(program)
        # A pipe that nobody reads would stop the program some day; the first line is read by whoever wants it.
        return program

    def files(self):
        www = self.folder / "www"
        www.mkdir()
        for name, size in (("1k", 1024), ("100k", 102_400), ("100m", 100_000_000), ("1g", 1_000_000_000)):
            with open(www / name, "wb") as file:
                file.write(os.urandom(min(size, 102_400)))
                file.truncate(size)

    def nginx(self, name, port, inside):
        conf = self.folder / f"{name}.conf"
        conf.write_text(NGINX.format(folder=self.folder, name=name, inside=inside.format(folder=self.folder, port=port)))
        program = self.start(name, ["nginx", "-p", self.folder, "-c", conf])
        wait_for_port(port)
        return program

    def server(self, name):
        config = self.folder / f"{name}.toml"
        config.write_text(SERVER)
        program = self.start(name, [RELEASE / "adit-server", "--config", config])
        return program, program.logged(r"listening on http://(\S+)")

    def agent(self, name, target, server, *options):
        key = self.folder / f"{name}.pem"
        command = [RELEASE / "adit", "http", target, "--server", f"http://{server}", "--key", key, *options]
        program = self.start(name, command)
        return program, program.first_line().removeprefix("http://").rstrip("/")

    def load(self, *words):
        out = subprocess.run([LOAD, *map(str, words)], capture_output=True, text=True, timeout=600)
        if out.returncode != 0:
            raise RuntimeError(f"load {words}: {out.stderr[-1500:]}")
        return json.loads(out.stdout)


def wait_for_port(port):
    import socket

    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"nothing listens on port {port}")
            time.sleep(0.02)


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Instructions:
    """Counts the instructions of processes while a load runs, where the machine lets us."""

    available = False

    @classmethod
    def probe(cls):
        if shutil.which("perf"):
            out = subprocess.run(["perf", "stat", "-x,", "-e", "instructions", "true"], capture_output=True, text=True)
            cls.available = out.returncode == 0 and "not " not in out.stderr

    def __init__(self, pids):
        self.pids = pids
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
            text = self.perf.communicate()[1]
            first = text.split(",", 1)[0].strip()
            self.count = int(first) if first.isdigit() else None
