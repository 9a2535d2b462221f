//! The longer words of `--help`.

pub(super) const ABOUT: &str = "Publishes a local service at a public hostname that is your key.

The agent dials out to an adit-server, proves its key, and from then on the server hands it what visitors of the \
hostname ask. There is no account: who holds the key file holds the name, from any machine.";

pub(super) const AFTER: &str = "\
Examples:
  adit http 3000                                     what listens on port 3000 of this machine
  adit http 3000 --server https://tunnels.example    through that server
  adit http nas.home:80 --name photos                another service, at another hostname of the same key
  adit files ~/site                                  a folder
  adit start -c adit.toml                            several, from one file
  adit ws ws://localhost:8139/feed                   WebSockets, through steps that take messages apart
  adit key show --domain tunnels.example             the hostname, before anything is published

Exit codes: 0 done, or ended by a signal; 1 failure; 2 wrong usage; 3 the server refused this agent for good, or is \
not the one that was expected; 4 another agent with the same key and name took over; 78 a setting is wrong, or the \
key or certificate file cannot be used.";

pub(super) const BARE_ABOUT: &str = "Fetch remote URLs for pages that cannot: a TompHTTP Bare server (versions 1, 2 and 3).

Published through a tunnel, so that what it fetches leaves from this machine's network; or with --listen on this machine \
alone. Prints its URL as the first and only line on stdout, and on stderr a line for each fetch. Addresses that are not of \
the public internet are never dialled unless a flag says so.";

pub(super) const BARE_AFTER: &str = "\
Settings of the tunnel come from the same flags, variables and file as those of `adit http` (see `adit http --help`); what \
the Bare server does is decided by flags alone.

Examples:
  adit bare --server https://tunnels.example          a Bare server at the hostname of the key
  adit bare --access-key-file key.txt                 for those alone whose URL has the key
  adit bare --listen 127.0.0.1:8080                   on this machine, without a tunnel
  adit bare --allow-host '*.example.org' --allow-port 443

Exit codes: those of `adit http`; with --listen 0 ended by a signal, 1 failure, 2 wrong usage, 78 a setting is wrong.";

pub(super) const HTTP_ABOUT: &str = "Publish a local HTTP service.

Prints the public URL as the first and only line on stdout. On stderr: what happens to the connection, and each \
request with its status and time (its query is never shown). A lost connection is made again, at the same hostname, \
for as long as it takes. Where the server has several nodes there is a connection to more than one, and it moves \
before a node goes down.";

pub(super) const HTTP_AFTER: &str = "\
Settings come from the flags, above the environment (ADIT_SERVER, ADIT_KEY, ADIT_NAME, ADIT_SUBDOMAIN, \
ADIT_CUSTOM_DOMAIN, ADIT_AUTO_NAME, ADIT_EXPECT_DOMAIN, ADIT_TOKEN, ADIT_TOKEN_FILE, ADIT_MODE, ADIT_LINKS, ADIT_TRANSPORT, \
ADIT_CA_FILE, ADIT_SELF_CHECK, ADIT_TARGET_PROTOCOL, ADIT_HOST_HEADER, ADIT_SEND_PROXY_PROTOCOL, ADIT_BASIC_AUTH, \
ADIT_BASIC_AUTH_FILE, ADIT_LOG_FORMAT; blank is not set), above the file of --config, above the defaults. A protected \
key file is opened with ADIT_KEY_PASSPHRASE, the content of the file ADIT_KEY_PASSPHRASE_FILE names, or what is typed at \
a terminal. Secrets are never arguments: every user of a machine can read those.

Examples:
  adit http 3000
  adit http [::1]:8000 --server https://tunnels.example --expect-domain tunnels.example
  adit http 50051 --target-protocol h2c
  adit http unix:/run/app.sock --host-header app.local
  adit http 3000 --basic-auth-file visitors.txt --allow-ip 10.0.0.0/8 --response-header 'X-Frame-Options: DENY'
  adit http 3000 --verify-webhook github --webhook-secret-file secret.txt
  adit http 3000 -q > url.txt &

Signals: SIGTERM and SIGINT tell the server goodbye and let running requests end for up to 5 s; a second one ends \
at once.
Exit codes: 0 ended by a signal; 1 failure (with --no-retry: the attempt failed); 2 wrong usage; 3 the server \
refused this agent for good, or is not the one that was expected; 4 another agent with the same key and name took \
over; 78 a setting is wrong, or the key or certificate file cannot be used.";

pub(super) const FILES_ABOUT: &str = "Publish a folder.

Its files are served as they are, with their types, ranges and conditional requests; a folder is its index.html. Names \
that begin with a dot are not there, and no symbolic link is followed, unless you say so. Nothing is ever written, \
and nothing outside the folder is reached.";

pub(super) const FILES_AFTER: &str = "\
Settings, signals and exit codes are those of adit http; what is particular to folders is the table [files] of the \
file of --config.

Examples:
  adit files .
  adit files ~/photos --listing --basic-auth-file visitors.txt
  adit files ~/site --listen 127.0.0.1:8080          on this machine, without a server";

pub(super) const START_ABOUT: &str = "Publish several tunnels from one file.

Each table [tunnels.NAME] is a tunnel with a hostname of its own: a local HTTP service, a folder, a relay of \
WebSockets, or a Bare server. Prints a line with name and URL on stdout for each as it comes up. The file is read again \
when it, or a file that it names, has changed, and at SIGHUP: tunnels that are the same notice nothing, and a file that \
is wrong changes nothing.";

pub(super) const START_AFTER: &str = "\
A file:
  server = \"https://tunnels.example\"

  [tunnels.app]
  target = \"3000\"

  [tunnels.site]
  type = \"files\"
  target = \"/srv/site\"

Settings of all tunnels come from the environment too, above the file: ADIT_SERVER, ADIT_KEY, ADIT_EXPECT_DOMAIN, \
ADIT_TOKEN, ADIT_TOKEN_FILE, ADIT_MODE, ADIT_LINKS, ADIT_CA_FILE, ADIT_SELF_CHECK, ADIT_LOG_FORMAT. Those of a single \
tunnel are refused.

Signals: SIGHUP reads the file again; SIGTERM and SIGINT end as with adit http. A tunnel that the server refuses ends \
alone; when it was the last, its exit code is that of adit http.";

pub(super) const WS_ABOUT: &str = "Relay WebSockets to an upstream, published through a tunnel or with --listen on this machine.

Each visitor has a connection to the upstream of their own. What they say goes through the incoming steps, what the \
upstream says through the outgoing ones: messages are taken apart by the steps in their order, rules of the settings \
file look at them, and they are put together again in reverse. Without steps messages pass as they are. When \
something fails, the visitor's WebSocket is closed with a code that says why, or with --errors message told so in \
JSON and stays open.";

pub(super) const WS_AFTER: &str = "\
Steps: lines, string, json, base64, length-prefixed, decompress (gzip, zlib, xz, snappy, lz4 or zstd), passthrough. \
With -decode or -encode behind a name, that half alone. The settings file has them in its table [relay], and rules too.

Examples:
  adit ws ws://localhost:8139/feed
  adit ws ws://localhost:8139 --listen 127.0.0.1:9139 --incoming lines,string --outgoing string --errors message
  adit ws wss://api.example/rpc --shared --correlate /id --incoming json --outgoing json
  adit ws ws://localhost:8139 --config adit.toml --server https://tunnels.example

Exit codes: those of adit http.";
