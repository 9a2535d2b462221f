"""What is measured: every case, in the order of the page."""

from . import beside, bodies, fleet, flood, reload, requests, resting, scale, streams

CASES = [case for module in (requests, bodies, streams, beside, flood, resting, reload, scale, fleet) for case in module.CASES]
