"""The ways from the visitor to the upstream that are compared."""

import shutil

from .nginx import nginx_hops
from .ours import adit, behind_tls, channel, default_workers, lacks_redis, redis
from .tunnels import bore, frp, rathole


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
    Peer("adit-tcp", "Adit, channel over TCP", channel, shown=False),
    Peer("adit-wss", "Adit, WebSocket in TLS", behind_tls, ["nginx", "openssl"], shown=False),
    Peer("adit-fleet", "Adit, two nodes", adit(bus=redis), ["redis-server"], lacks_redis),
    Peer("nginx2-w2", "nginx two hops, 2 workers", nginx_hops(2, 2), ["nginx"], shown=False),
    Peer("bore", "bore", bore, ["bore"], version=["bore", "--version"]),
    Peer("rathole", "rathole", rathole, ["rathole"], version=["rathole", "--version"]),
    Peer("frp", "frp http", frp, ["frps", "frpc"], version=["frps", "--version"]),
]
