"""What is measured: every case, in the order of the page."""

from . import beside, bodies, fleet, flood, relay, reload, requests, resting, scale, streams

MODULES = (requests, bodies, streams, relay, beside, flood, resting, reload, scale, fleet)
CASES = [case for module in MODULES for case in module.CASES]
