#!/usr/bin/env python3
"""Event streams that last: one event a second, and a stream that is silent until its end, through the built binaries.

    benches/soak.py [SECONDS]        ten minutes unless told otherwise

Every event must come within a second of its making, and both streams must end properly. Run by `make soak`.
"""

import http.client
import http.server
import os
import pathlib
import re
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARIES = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 600


class Service(http.server.BaseHTTPRequestHandler):
    """`/busy` says the time each second; `/silent` says one word, and another at the end."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.path == "/busy":
            for _ in range(SECONDS):
                self.say(time.time())
                time.sleep(1)
        else:
            self.say("first")
            time.sleep(SECONDS)
            self.say("last")
        self.wfile.write(b"0\r\n\r\n")

    def say(self, what):
        event = f"data: {what}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))

    def log_message(self, *_):
        pass


class Threaded(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


def start(program, pattern, *args):
    """Starts one of the binaries; the program, and what the pattern finds in its output."""
    running = subprocess.Popen(
        [BINARIES / program, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for line in running.stdout:
        if found := re.search(pattern, line):
            threading.Thread(target=running.stdout.read, daemon=True).start()
            return running, found[1]
    sys.exit(f"{program} ended early")


def events(server, host, path):
    """The events of a stream with their time of arrival; raises where the stream is cut."""
    connection = http.client.HTTPConnection("127.0.0.1", server)
    connection.request("GET", path, headers={"Host": host})
    response = connection.getresponse()
    assert response.status == 200, response.status
    while line := response.readline():
        if line.startswith(b"data: "):
            yield time.time(), line[6:].strip().decode()


def busy(server, host, faults):
    count, slowest = 0, 0.0
    for arrived, made in events(server, host, "/busy"):
        count += 1
        slowest = max(slowest, arrived - float(made))
    print(f"busy stream: {count} events in {SECONDS} s, the slowest after {slowest * 1000:.0f} ms", flush=True)
    if count != SECONDS or slowest >= 1:
        faults.append("busy")


def silent(server, host, faults):
    heard = [what for _, what in events(server, host, "/silent")]
    print(f"silent stream: {heard}", flush=True)
    if heard != ["first", "last"]:
        faults.append("silent")


def guarded(check, name, faults):
    try:
        check()
    except (OSError, http.client.HTTPException, AssertionError) as error:
        print(f"{name} stream: {error!r}", flush=True)
        faults.append(name)


def main():
    service = Threaded(("127.0.0.1", 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        server, port = start("adit-server", r"listening on http://127\.0\.0\.1:(\d+)", "--listen", "127.0.0.1:0")
        agent, host = start(
            "adit", r"^http://(\S+?)/?$", "http", str(service.server_port), "-q",
            "--server", f"http://127.0.0.1:{port}", "--key", f"{folder}/key.pem",
        )  # fmt: skip
        faults = []
        checks = [
            threading.Thread(target=guarded, args=(lambda: busy(int(port), host, faults), "busy", faults)),
            threading.Thread(target=guarded, args=(lambda: silent(int(port), host, faults), "silent", faults)),
        ]
        for check in checks:
            check.start()
        for check in checks:
            check.join()
        for program in (agent, server):
            program.terminate()
            program.wait()
    sys.exit(f"failed: {', '.join(faults)}" if faults else 0)


main()
