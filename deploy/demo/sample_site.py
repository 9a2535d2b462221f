"""A site with something to see: it shows each visitor's request as the service behind the tunnel saw it.

Python's standard library only. Run alone, it listens on the port given as its argument:
    python3 sample_site.py 3000
"""

import html
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WRITTEN_BY_THE_EDGE = {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded", "via"}

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Daylight</title>
<style>
  :root {{ color-scheme: light dark; --ink: #23201c; --paper: #faf7f1; --rule: #d9d1c3; --ore: #a8501f; --dim: #7a7166; }}
  @media (prefers-color-scheme: dark) {{ :root {{ --ink: #ece5d8; --paper: #1b1916; --rule: #3b362f; --ore: #e08a4f; --dim: #9b9184; }} }}
  body {{ margin: 0; background: var(--paper); color: var(--ink); font: 17px/1.55 Georgia, "Times New Roman", serif; }}
  main {{ max-width: 52rem; margin: 0 auto; padding: 9vh 1.25rem 4rem; }}
  h1 {{ font-weight: normal; font-size: 2.2rem; line-height: 1.15; margin: 0 0 .6rem; }}
  h2 {{ font-weight: normal; font-size: 1.25rem; margin: 2.4rem 0 .6rem; }}
  code, pre, td {{ font: 14px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }}
  table {{ border-collapse: collapse; width: 100%; }}
  td {{ border-top: 1px solid var(--rule); padding: .35rem .6rem .35rem 0; vertical-align: top; overflow-wrap: anywhere; }}
  td:first-child {{ white-space: nowrap; color: var(--dim); }}
  tr.edge td {{ color: var(--ore); }}
  ol.way {{ display: flex; flex-wrap: wrap; gap: .5rem 2.4rem; list-style: none; padding: 0; margin: 1.4rem 0 0; }}
  ol.way li {{ position: relative; border: 1px solid var(--rule); padding: .35rem .8rem; }}
  ol.way li + li::before {{ content: "→"; position: absolute; left: -1.75rem; color: var(--ore); }}
  pre {{ overflow-x: auto; }}
  #drip {{ min-height: 3em; border-left: 3px solid var(--ore); padding: .4rem 1rem; margin: 0; }}
  button {{ font: inherit; padding: .2rem .9rem; }}
</style>
<main>
  <h1>You have reached the daylight.</h1>
  <p>This page is served by a small program that listens on <code>{listens}</code> only. Your request came to it by way
  of an Adit tunnel, and this is what the program saw.</p>
  <ol class="way"><li>you, {visitor}</li><li>edge</li><li>agent</li><li>this site</li></ol>

  <h2>Your request</h2>
  <p><code>{line}</code></p>
  <table>{rows}</table>
  <p style="color: var(--ore)">In this colour: written by the edge, whatever the visitor sent.</p>

  <h2>As it is sent</h2>
  <p>Bodies are streamed both ways. <button id="go">Send me a word each half second</button></p>
  <pre id="drip"></pre>

  <h2>From a terminal</h2>
  <pre>curl {url}/                          this page, as text
curl {url}/json                      as JSON
curl -d 'hello' {url}/echo           your own words back
curl -N {url}/drip                   a word each half second</pre>
</main>
<script>
  document.getElementById("go").onclick = async function () {{
    this.disabled = true;
    const out = document.getElementById("drip");
    out.textContent = "";
    const reader = (await fetch("/drip")).body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part; !(part = await reader.read()).done;) out.textContent += part.value;
    this.disabled = false;
  }};
</script>
</html>
"""

DRIP = "drop by drop the water finds its level and so does this body .\n".split(" ")


class Site(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server_version = "daylight"
    disable_nagle_algorithm = True  # Head and body are two writes: the second would wait for an acknowledgement.

    def do_GET(self):
        path = self.path.split("?", 1)[0]
        if path == "/drip":
            self.drip()
        elif path == "/json":
            self.answer(200, "application/json", json.dumps(self.seen(), indent=2) + "\n")
        elif path == "/favicon.ico":
            self.answer(204, None, "")
        elif path != "/":
            self.answer(404, "text/plain; charset=utf-8", f"The site has no {path}: this answer is its own.\n")
        elif "text/html" in self.headers.get("Accept", ""):
            self.answer(200, "text/html; charset=utf-8", self.page())
        else:
            self.answer(200, "text/plain; charset=utf-8", self.text())

    do_HEAD = do_GET

    def do_POST(self):
        body = self.read_body()
        kind = self.headers.get("Content-Type", "application/octet-stream")
        self.answer(200, kind, body)

    do_PUT = do_POST

    def seen(self):
        return {
            "line": self.requestline,
            "visitor": self.visitor(),
            "headers": [[name, value] for name, value in self.headers.items()],
        }

    def visitor(self):
        return self.headers.get("X-Forwarded-For", self.client_address[0])

    def url(self):
        scheme = self.headers.get("X-Forwarded-Proto", "http")
        return f"{scheme}://{self.headers.get('X-Forwarded-Host') or self.headers.get('Host', '')}"

    def text(self):
        rows = "".join(f"  {name}: {value}\n" for name, value in self.headers.items())
        return (
            "You have reached the daylight: a site behind an Adit tunnel.\n"
            f"It saw this request, from {self.visitor()}:\n\n  {self.requestline}\n{rows}"
        )

    def page(self):
        rows = "".join(
            f"<tr{' class=edge' if name.lower() in WRITTEN_BY_THE_EDGE else ''}>"
            f"<td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
            for name, value in self.headers.items()
        )
        host, port = self.server.server_address[:2]
        return PAGE.format(
            listens=f"{host}:{port}",
            visitor=html.escape(self.visitor()),
            line=html.escape(self.requestline),
            rows=rows,
            url=html.escape(self.url()),
        )

    def drip(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.command == "HEAD":
            return
        for word in DRIP:
            self.chunk(word if word.endswith("\n") else word + " ")
            time.sleep(0.5)
        self.chunk("")

    def chunk(self, text):
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def read_body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def answer(self, status, kind, body):
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_):
        """The agent says what was asked; twice would be noise."""


class SampleSite(ThreadingHTTPServer):
    """The site on a port of this machine; 0 lets the system choose."""

    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", port), Site)

    def handle_error(self, request, client_address):
        """A visitor who leaves in the middle is no error."""


if __name__ == "__main__":
    site = SampleSite(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
    print(f"http://127.0.0.1:{site.server_port}", flush=True)
    try:
        site.serve_forever()
    except KeyboardInterrupt:
        pass
