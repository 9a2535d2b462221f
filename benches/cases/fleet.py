"""A fleet of three nodes over Redis: what idle tunnels hold, agents that come and go, and the death of a node."""

import http.client
import json
import re
import socket
import threading
import time

from peers.ours import adit_agent, adit_server, redis
from peers.way import wait_for_answer
from proc import free_port, wait_for_port

from .figures import Case, Row, at_most, is_adit
from .resting import MANY_OF_ONE_ADDRESS

SECTION = "A fleet of three nodes"
NODES = 3
IDLE = 10_000
CHURN = 500
CHURN_SECONDS = 60
# Requests a second beside which a node is killed.
PACE = 200
DEATHS = 3
# Seconds for an agent to spread its links.
SETTLED = 3


class Fleet:
    """Three nodes over a Redis of their own; ends with its scene."""

    def __init__(self, bench, name):
        self.bench = bench
        self.store, self.joined = redis(bench.stage, f"{name}-bus")
        self.name = name
        self.nodes = [self.node(number) for number in range(NODES)]

    def node(self, number):
        """The program and its address."""
        return adit_server(self.bench.stage, f"{self.name}-{number}", *self.joined, config=MANY_OF_ONE_ADDRESS)

    def addresses(self):
        return [addr for _, addr in self.nodes]

    def memory(self, field):
        return sum(program.memory(field) for program, _ in self.nodes)

    def stored(self):
        """Bytes that Redis says it uses."""
        port = int(self.joined[1].rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"INFO memory\r\n")
            text = b""
            while b"used_memory_human" not in text:
                text += connection.recv(65536)
        return int(re.search(rb"used_memory:(\d+)", text).group(1))


def idle(bench, peer):
    with bench.stage.scene():
        fleet = Fleet(bench, "idle-fleet")
        time.sleep(1)
        before = {field: fleet.memory(field) for field in ("Pss", "Rss")}
        stored = fleet.stored()
        for addr in fleet.addresses():
            json.loads(bench.loads.begin("links", addr, IDLE // NODES).first_line())
        time.sleep(3)
        links = IDLE // NODES * NODES
        held = {field.lower(): (fleet.memory(field) - was) / links for field, was in before.items()}
        return {**held, "stored": (fleet.stored() - stored) / links}


def churn(bench, peer):
    with bench.stage.scene():
        fleet = Fleet(bench, "churn")
        load = bench.loads.begin("churn", ",".join(fleet.addresses()), CHURN, CHURN_SECONDS)
        return json.loads(load.first_line())


class Visitor(threading.Thread):
    """Asks one node at a steady pace, one request after another, and notes when answers came."""

    def __init__(self, addr, host):
        super().__init__(daemon=True)
        self.addr = addr
        self.host = host
        self.failed = 0
        self.longest = 0
        self.going = True
        self.connection = http.client.HTTPConnection(addr, timeout=35)

    def run(self):
        last = time.monotonic()
        while self.going:
            if self.asked():
                now = time.monotonic()
                self.longest = max(self.longest, now - last)
                last = now
            else:
                self.failed += 1
            time.sleep(1 / PACE)

    def asked(self):
        try:
            self.connection.request("GET", "/1k", headers={"Host": self.host})
            answer = self.connection.getresponse()
            answer.read()
            return answer.status == 200
        except (OSError, http.client.HTTPException):
            self.connection.close()
            return False

    def stop(self):
        self.going = False
        self.join()


# What the agent dials: two of the nodes, in turn or the second in place of the first.
DOOR = """
daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log stderr warn;
events {{ worker_connections 64; }}
http {{
  access_log off;
  upstream nodes {{ server {first} max_fails=1 fail_timeout=10s; server {second}{backup}; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://nodes; proxy_http_version 1.1; proxy_read_timeout 1h; proxy_connect_timeout 1s;
      proxy_set_header Host $http_host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
    }}
  }}
}}
"""


def door(bench, fleet, name, backup):
    port = free_port()
    first, other, _ = fleet.addresses()
    words = {"folder": bench.stage.folder, "name": name, "first": first, "second": other, "backup": backup, "port": port}
    config = bench.stage.write(f"{name}.conf", DOOR.format(**words))
    program = bench.stage.start(name, ["nginx", "-p", bench.stage.folder, "-c", config])
    wait_for_port(port, program)
    return f"127.0.0.1:{port}"


def death(links):
    """The node an agent holds a link to is killed without a word, under a visitor of a node that holds none."""

    def run(bench, peer):
        figures = {"gap": [], "failed": []}
        for turn in range(DEATHS):
            with bench.stage.scene():
                fleet = Fleet(bench, f"death-{links}-{turn}")
                dialled = door(bench, fleet, f"door-{links}-{turn}", " backup" if links == 1 else "")
                _, host = adit_agent(bench.stage, f"mortal-{links}-{turn}", bench.upstream, dialled, "--links", links)
                (doomed, _), _, (_, visited) = fleet.nodes
                wait_for_answer(visited, host)
                time.sleep(SETTLED)
                visitor = Visitor(visited, host)
                visitor.start()
                time.sleep(1)
                doomed.child.kill()
                time.sleep(5)
                visitor.stop()
                figures["gap"].append(visitor.longest * 1000)
                figures["failed"].append(visitor.failed)
        return figures

    return run


CASES = [
    Case(
        "fleet-idle",
        SECTION,
        (
            Row("pss", f"{IDLE:,} idle tunnels on three nodes: PSS of the nodes per link, KiB", (at_most(12),)),
            Row("rss", "— RSS of the nodes per link, KiB"),
            Row("stored", "— memory of Redis per tunnel, bytes"),
        ),
        idle,
        who=is_adit,
        when="alone",
    ),
    Case(
        "churn",
        SECTION,
        (
            Row("rate", f"{CHURN} agents a second come, serve and go, for a minute: lives a second reached"),
            Row("missed", "— not found at another node at once", (at_most(0),)),
            Row("lingered", "— still found, or not reported offline, after they left", (at_most(0),)),
            Row("p50_us", "— registration, p50, µs"),
            Row("p99_us", "— registration, p99, µs"),
        ),
        churn,
        who=is_adit,
        when="after",
    ),
    *(
        Case(
            f"death-{links}",
            SECTION,
            (
                Row("gap", f"kill -9 of a node, {links} link{'s' * (links > 1)}: longest time between two answers, ms"),
                Row("failed", "— requests that failed"),
            ),
            death(links),
            who=is_adit,
            when="after",
        )
        for links in (2, 1)
    ),
]
