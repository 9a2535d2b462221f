"""TLS in front of a server, as most operators have it: nginx ends it and passes the link on."""

import socket
import subprocess

CONFIG = """
daemon off; worker_processes 1; pid {folder}/front.pid; error_log stderr warn;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/front.pem; ssl_certificate_key {folder}/front.key;
    location / {{
      proxy_pass http://{behind};
      proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 1h;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
    }}
  }}
}}
"""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def command(folder, behind):
    """The command that runs the front, the URL that agents dial, and the certificate they have to believe."""
    certificate = folder / "front.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE",
         "-keyout", folder / "front.key", "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    config = folder / "front.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, behind=behind))
    return ["nginx", "-p", folder, "-c", config], f"https://localhost:{port}", certificate
