"""Reads callgrind's files: what each function cost, alone and with what it called, and who called whom how often.

callgrind_annotate could, but it tells a function apart by every file whose code was inlined into it.
"""

import re
from collections import Counter

# Positions name a file, an object or a function, the first time with its text: fn=(12) text, later fn=(12).
NAME = re.compile(r"^(c?fn)=\((\d+)\)(?: (.*))?$")


class Profile:
    """The costs of one file, by function."""

    def __init__(self, path):
        self.alone = Counter()
        self.called = Counter()
        # How often the first calls the second.
        self.calls = Counter()
        names = {}
        caller = callee = None
        with open(path, errors="replace") as lines:
            for line in lines:
                if found := NAME.match(line):
                    kind, number, text = found.groups()
                    name = names.setdefault(number, text)
                    if kind == "fn":
                        caller = name
                    else:
                        callee = name
                elif line.startswith("calls="):
                    self.calls[caller, callee] += int(line[6:].split()[0])
                    self.called[caller] += cost(next(lines))
                elif line[:1] in "+-*0123456789" and caller:
                    self.alone[caller] += cost(line)

    def together(self):
        """Functions with what they call; one that calls itself is counted more than once."""
        return self.alone + self.called

    def callers(self, names):
        """How often each function calls one of these."""
        found = Counter()
        for (caller, callee), count in self.calls.items():
            if callee in names:
                found[caller] += count
        return found


def cost(line):
    """The last number of a line of costs: position, instructions."""
    return int(line.split()[1])


def short(name):
    """A name without its hash and without what its generics repeat."""
    return re.sub(r"::h[0-9a-f]{16}\b", "", name)[:150]
