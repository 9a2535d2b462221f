"""The words in which a case says what it measures, and what is asked of it."""

from collections.abc import Callable
from dataclasses import dataclass


class NotApplicable(Exception):
    """This way has no such thing to be measured, which is no failure."""


@dataclass(frozen=True)
class Bar:
    """What a figure of Adit's must reach: alone, or as a multiple of another way's in the same round."""

    limit: float
    at_most: bool
    # A peer's slug.
    against: str | None = None

    def met(self, value):
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self):
        sign = "≤" if self.at_most else "≥"
        return f"{sign} {self.limit:g} ×" if self.against else f"{sign} {self.limit:g}"


def at_least(limit, against=None):
    return Bar(limit, False, against)


def at_most(limit, against=None):
    return Bar(limit, True, against)


@dataclass(frozen=True)
class Row:
    """One figure: its key in what a case returns, and its words, which begin with a dash where they go on a row's above."""

    key: str
    title: str
    bars: tuple[Bar, ...] = ()
    # Left out of the tables where nothing has it.
    optional: bool = False
    # Whether it says anything as a multiple of another way's.
    compared: bool = True


@dataclass(frozen=True)
class Case:
    """Something to measure. `run(bench, peer)` gives its figures by key: a number each, or a list of them."""

    slug: str
    section: str
    rows: tuple[Row, ...]
    run: Callable
    # Which peers have it.
    who: Callable = lambda peer: True
    # `alone`: before anything else stands, once. `rounds`: in each round, every peer in turn. `after`: when no way stands.
    when: str = "rounds"

    def full_title(self, row):
        """A row's words with those it goes on."""
        first = self.rows[0].title.split(":")[0]
        return f"{first} {row.title}" if row.title.startswith("—") else row.title


def is_adit(peer):
    """The one whose figures are the project's: as shipped."""
    return peer.slug == "adit"


def cpu_rows(what, bars=()):
    """CPU per 100,000 of something, in all and by program."""
    return (
        Row("cpu", f"— CPU s per 100k {what}", bars),
        Row("cpu_public", "— of these the public side (server, last hop)", optional=True, compared=False),
        Row("cpu_inner", "— of these next to the upstream (agent, first hop)", optional=True, compared=False),
        Row("cpu_holder", "— of these the node that holds the link", optional=True, compared=False),
        Row("cpu_bus", "— of these the bus", optional=True, compared=False),
    )
