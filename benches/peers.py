"""The ways from the visitor to the upstream that are compared: how each is started, and where it begins."""

import http.client
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

from proc import free_port, wait_for_port

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
SERVER = RELEASE / "adit-server"
AGENT = RELEASE / "adit"
DOMAIN = "localhost"

NGINX = """
worker_processes {workers};
daemon off;
pid {folder}/{name}.pid;
error_log {folder}/{name}.error error;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off;
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
  {hosts}
}}
"""

# One virtual host, with connections of its own to what is behind it.
HOST = """
  upstream {host}_next {{ server {next}; keepalive 128; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port}{options};
    server_name {host};
    proxy_http_version 1.1;
    location / {{
      proxy_pass http://{host}_next;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
    location /events {{
      proxy_pass http://{host}_next;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_buffering off;
    }}
    location /ws {{
      proxy_pass http://{host}_next;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_set_header Host $http_host;
      proxy_read_timeout 1h;
    }}
  }}
"""


class Way:
    """One way that stands: where visitors find the upstream, and the programs in between.

    A place is an address and the Host to ask it for. `light` is a second host beside `main`; `large` and `beside_large`
    are the same two where bodies of any size pass.
    """

    def __init__(self, stage, main, light, programs, restart=None, large=None, beside_large=None):
        self.stage = stage
        self.main = main
        self.light = light
        self.large = large or main
        self.beside_large = beside_large or light
        # By role: `public` meets the visitors, `inner` is next to the upstream, others are between.
        self.programs = programs
        self._restart = restart

    def restart_inner(self):
        """Seconds from the start of the program next to the upstream to the first answer of the upstream."""
        self.stage.stop([self.programs["inner"]])
        began = time.monotonic()
        self.programs["inner"] = self._restart()
        wait_for_answer(*self.main)
        return time.monotonic() - began


def wait_for_answer(addr, host, deadline=10):
    end = time.monotonic() + deadline
    while True:
        connection = http.client.HTTPConnection(addr, timeout=1)
        try:
            connection.request("GET", "/1k", headers={"Host": host})
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        if time.monotonic() > end:
            raise RuntimeError(f"no answer from {addr} for {host}")
        time.sleep(0.001)


def nginx(stage, name, port, following, workers=1):
    config = stage.folder / f"{name}.conf"
    # The options of a port are given once, by its first host.
    options = {"main": " backlog=4096", "light": ""}
    hosts = [HOST.format(host=host, port=port, options=given, next=following) for host, given in options.items()]
    config.write_text(NGINX.format(folder=stage.folder, name=name, workers=workers, hosts="".join(hosts)))
    # Killed, its master would leave the workers behind.
    program = stage.start(name, ["nginx", "-p", stage.folder, "-c", config], last_signal=signal.SIGTERM)
    wait_for_port(port, program)
    return program


def nginx_hops(hops, workers=1):
    def start(stage, slug, upstream, alone=False):
        ports = [free_port() for _ in range(hops)]
        behind = [upstream, *(f"127.0.0.1:{port}" for port in ports)]
        begin = lambda hop: nginx(stage, f"{slug}-{hop}", ports[hop], behind[hop], workers)
        # The last of them is the public one.
        programs = dict(reversed([(role, begin(hop)) for hop, role in enumerate(["inner", "public"][-hops:])]))
        addr = behind[-1]
        return Way(stage, (addr, "main"), (addr, "light"), programs, lambda: begin(0))

    return start


def adit_server(stage, name, *options, config=None):
    command = [SERVER, "--listen", "127.0.0.1:0", "--domain", DOMAIN, *options]
    if config:
        command += ["--config", stage.write(f"{name}.toml", config)]
    program = stage.start(name, command)
    return program, program.logged(r"listening on http://(\S+)")


def adit_agent(stage, name, target, server, *options):
    """The agent and its host; its key outlives it, so a later agent of the name has the same host."""
    key = stage.folder / f"{name}.pem"
    command = [AGENT, "http", target, "--server", f"http://{server}", "--key", key, *options]
    program = stage.start(name, command)
    return program, re.sub(r"^http://|[:/]+\d*/?$", "", program.first_line())


def adit(*server_options, agent_options=(), fleet=None):
    """As shipped, but for the options. Bodies beyond the default limit take a second server, with that limit lifted.

    With a `fleet`, which starts what joins nodes and gives its URL, agents hold a second node: each request crosses.
    """

    def node(stage, name, *options):
        return adit_server(stage, name, *server_options, *options)

    def agent(stage, name, upstream, addr):
        return adit_agent(stage, name, upstream, addr, *agent_options)

    def start(stage, slug, upstream, alone=False):
        store, options = fleet(stage, f"{slug}-bus") if fleet else (None, [])
        server, addr = node(stage, f"{slug}-server", *options)
        holder, dialled = node(stage, f"{slug}-holder", *options) if fleet else (None, addr)
        begin = lambda: agent(stage, f"{slug}-agent", upstream, dialled)
        inner, host = begin()
        programs = {"public": server, "bus": store, "holder": holder, "inner": inner}
        programs = {role: program for role, program in programs.items() if program}
        main, restart = (addr, host), lambda: begin()[0]
        if alone:
            return Way(stage, main, None, programs, restart)
        light = (addr, agent(stage, f"{slug}-light", upstream, dialled)[1])
        _, lifted = node(stage, f"{slug}-lifted", "--max-body", "unlimited")
        large = [(lifted, agent(stage, f"{slug}-{name}", upstream, lifted)[1]) for name in ("large", "beside-large")]
        return Way(stage, main, light, programs, restart, *large)

    return start


def redis(stage, name):
    port = free_port()
    program = stage.start(name, ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", ""])
    wait_for_port(port, program)
    return program, ["--bus", f"redis://127.0.0.1:{port}"]


def raw(stage, port, server, begin):
    """A way that copies one port: no Host, so nothing beside it."""
    programs = {"public": server, "inner": begin()}
    where = (f"127.0.0.1:{port}", "main")
    wait_for_answer(*where)
    return Way(stage, where, None, programs, begin)


def bore(stage, slug, upstream, alone=False):
    port, control = free_port(), free_port()
    options = ["--bind-addr", "127.0.0.1", "--control-port", control]
    server = stage.start(f"{slug}-server", ["bore", "server", "--min-port", 1024, *options])
    wait_for_port(control, server)
    local = ["bore", "local", upstream.rsplit(":", 1)[1], "--to", "127.0.0.1", "--port", port, "--control-port", control]
    return raw(stage, port, server, lambda: stage.start(f"{slug}-client", local))


RATHOLE_SERVER = """
[server]
bind_addr = "127.0.0.1:{control}"
default_token = "bench"
[server.services.main]
bind_addr = "127.0.0.1:{port}"
"""

RATHOLE_CLIENT = """
[client]
remote_addr = "127.0.0.1:{control}"
default_token = "bench"
[client.services.main]
local_addr = "{upstream}"
"""


def configs(stage, slug, words, **texts):
    return {role: stage.write(f"{slug}-{role}.toml", text.format(**words)) for role, text in texts.items()}


def rathole(stage, slug, upstream, alone=False):
    words = {"control": free_port(), "port": free_port(), "upstream": upstream}
    paths = configs(stage, slug, words, server=RATHOLE_SERVER, client=RATHOLE_CLIENT)
    begin = lambda role: stage.start(f"{slug}-{role}", ["rathole", f"--{role}", paths[role]])
    server = begin("server")
    wait_for_port(words["control"], server)
    return raw(stage, words["port"], server, lambda: begin("client"))


FRP_SERVER = """
bindAddr = "127.0.0.1"
bindPort = {control}
vhostHTTPPort = {port}
log.level = "warn"
"""

FRP_CLIENT = """
serverAddr = "127.0.0.1"
serverPort = {control}
log.level = "warn"
[[proxies]]
name = "main"
type = "http"
localIP = "127.0.0.1"
localPort = {upstream}
customDomains = ["main"]
[[proxies]]
name = "light"
type = "http"
localIP = "127.0.0.1"
localPort = {upstream}
customDomains = ["light"]
"""


def frp(stage, slug, upstream, alone=False):
    words = {"control": free_port(), "port": free_port(), "upstream": upstream.rsplit(":", 1)[1]}
    paths = configs(stage, slug, words, frps=FRP_SERVER, frpc=FRP_CLIENT)
    begin = lambda role: stage.start(f"{slug}-{role}", [role, "-c", paths[role]])
    server = begin("frps")
    wait_for_port(words["control"], server)
    programs = {"public": server, "inner": begin("frpc")}
    addr = f"127.0.0.1:{words['port']}"
    for host in ("main", "light"):
        wait_for_answer(addr, host)
    return Way(stage, (addr, "main"), (addr, "light"), programs, lambda: begin("frpc"))


class Peer:
    """A name for a way, and whether this machine can build it."""

    def __init__(self, slug, title, start, needs=(), obstacle=lambda: None, shown=True, version=None):
        self.slug = slug
        self.title = title
        self.start = start
        self.needs = needs
        # Why this build of Adit cannot be it, or nothing.
        self.obstacle = obstacle
        # Whether it runs when nobody names it.
        self.shown = shown
        self.version = version

    def missing(self):
        """Why it cannot run here, or nothing."""
        missing = [program for program in self.needs if not shutil.which(program)]
        if missing:
            return f"{', '.join(missing)} not on PATH"
        return self.obstacle()


def default_workers():
    """What `--workers` is when nobody says."""
    out = subprocess.run([SERVER, "config", "check"], capture_output=True, text=True)
    found = re.search(r"^workers = (\d+)", out.stdout, re.M)
    return int(found.group(1)) if found else None


def lacks_redis():
    out = subprocess.run([SERVER, "config", "check", "--bus", "redis://127.0.0.1:1"], capture_output=True, text=True)
    return None if out.returncode == 0 else "this build has no such bus"


def workers(count):
    # The one that is the default is measured as Adit already.
    return Peer(
        f"adit-w{count}",
        f"Adit, {count} worker{'s' * (count > 1)}",
        adit("--workers", count),
        obstacle=lambda: "the default" if default_workers() == count else None,
    )


YARDSTICK = "nginx2"

PEERS = [
    Peer("nginx1", "nginx one hop", nginx_hops(1), ["nginx"]),
    Peer(YARDSTICK, "nginx two hops", nginx_hops(2), ["nginx"]),
    Peer("adit", "Adit", adit()),
    workers(1),
    workers(2),
    Peer("adit-q", "Adit, agent -q", adit(agent_options=["-q"]), shown=False),
    Peer("adit-fleet", "Adit, two nodes", adit(fleet=redis), ["redis-server"], lacks_redis),
    Peer("nginx2-w2", "nginx two hops, 2 workers", nginx_hops(2, 2), ["nginx"], shown=False),
    Peer("bore", "bore", bore, ["bore"], version=["bore", "--version"]),
    Peer("rathole", "rathole", rathole, ["rathole"], version=["rathole", "--version"]),
    Peer("frp", "frp http", frp, ["frps", "frpc"], version=["frps", "--version"]),
]
