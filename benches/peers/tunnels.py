"""Other tunnels. bore and rathole copy the bytes of a port: they parse nothing and route nothing."""

from proc import free_port, wait_for_port

from .way import Way, configs, wait_for_answer


def raw(stage, port, server, begin):
    """A way that copies one port: no Host, so nothing beside it."""
    programs = {"public": server, "inner": begin()}
    where = (f"127.0.0.1:{port}", "main")
    wait_for_answer(*where)
    return Way(stage, where, None, programs, begin)


# Nothing tells it another one.
BORE_CONTROL = 7835


def bore(stage, slug, upstream, alone=False):
    port = free_port()
    server = stage.start(f"{slug}-server", ["bore", "server", "--bind-addr", "127.0.0.1"])
    wait_for_port(BORE_CONTROL, server)
    local = ["bore", "local", upstream.rsplit(":", 1)[1], "--to", "127.0.0.1", "--port", port]
    way = raw(stage, port, server, lambda: stage.start(f"{slug}-client", local))
    # Until then the server keeps the port.
    way.notices = 1.5
    return way


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
