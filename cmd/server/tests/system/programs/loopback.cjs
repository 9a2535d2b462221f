// Loaded before a program (node --require): every name under localhost is this machine, as in browsers (RFC 6761, 6.3).
'use strict';
const dns = require('node:dns');
const system = dns.lookup;
dns.lookup = (host, ...rest) => system(host.endsWith('.localhost') ? '127.0.0.1' : host, ...rest);
