"""nginx in front of the upstream, once or twice: what proxying costs without a tunnel."""

import signal

from proc import free_port, wait_for_port

from .way import Way

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
