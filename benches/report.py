"""What came of it, as Markdown: against the bars, every way, more workers, Adit alone."""

import platform
import re
import statistics
import subprocess
from os import cpu_count
from pathlib import Path

from cases import CASES
from load import Instructions
from peers import YARDSTICK
from peers.ours import default_workers

BEGIN = "<!-- results: written by benches/run.sh --page -->"
END = "<!-- end of results -->"


def number(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def show(values):
    """The median, and how far the rounds lie apart."""
    middle = number(statistics.median(values))
    return f"{middle} ({number(min(values))}–{number(max(values))})" if len(values) > 1 else middle


def line(*cells):
    return "| " + " | ".join(cells) + " |"


def header(*titles):
    return [line(*titles), line("---", *["---:"] * (len(titles) - 1))]


def version(command):
    out = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"\d+\.\d+\.\d+", out.stdout + out.stderr)
    return f"{command[0]} {found.group() if found else 'of an unknown version'}"


class Report:
    """The figures of one run: `figures[case, row][peer]` is a list, `failures[case, peer]` a sentence."""

    def __init__(self, bench):
        self.bench = bench
        self.peers = {peer.slug: peer for peer in bench.peers}
        self.cases = bench.cases

    def values(self, case, row, slug):
        return self.bench.figures.get((case.slug, row.key), {}).get(slug, [])

    def ratios(self, case, row, slug, against):
        """One figure as a multiple of another, round by round: what disturbs a round disturbs both."""
        pairs = zip(self.values(case, row, slug), self.values(case, row, against))
        return [ours / theirs for ours, theirs in pairs if theirs]

    def cell(self, case, row, slug):
        values = self.values(case, row, slug)
        if values:
            return show(values)
        return "failed" if (case.slug, slug) in self.bench.failures else "–"

    def text(self):
        parts = [
            self.machine(),
            self.method(),
            self.part("Against the bars", self.bars()),
            *(self.part(section, self.section(section)) for section in self.sections()),
            self.part("More workers", self.workers()),
            self.part("User-space instructions", self.bench.instructions),
            self.part("Failures", self.failures()),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    @staticmethod
    def part(title, lines):
        return "\n".join([f"### {title}", "", *lines]) if lines else None

    def machine(self):
        information = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((entry.split(":", 1)[1].strip() for entry in information if entry.startswith("model name")), "?")
        memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024 / 1024
        commands = [["nginx", "-v"], ["wrk", "-v"], ["rustc", "--version"]]
        commands += [peer.version for peer in self.bench.peers if peer.version]
        programs = "; ".join(version(command) for command in commands)
        return f"{cpu_count()} × {model}, {memory:.0f} GiB, Linux {platform.release()}; {programs}; {self.bench.commit}."

    def method(self):
        bench = self.bench
        lines = [
            f"{bench.rounds} interleaved rounds of {bench.seconds} s a case; median (lowest–highest).",
            "A ratio is the median of the rounds' ratios.",
            f"Before the run {bench.busy_before:.0f} % of the processors were in use, by others.",
        ]
        if not Instructions.available:
            lines.append("This machine has no counters for `perf stat`: no kernel instructions are counted.")
        lines += [f"Not run: {title} ({why})." for title, why in bench.left_out.items()]
        return "\n".join(lines)

    def bars(self):
        """Each bar with what was reached."""
        if "adit" not in self.peers:
            return []
        lines = header("figure", "nginx two hops", "Adit", "ratio", "bar", "")
        count = len(lines)
        for case in self.cases:
            for row in case.rows:
                for bar in row.bars:
                    if self.skipped(case, row):
                        continue
                    ours, theirs = (self.cell(case, row, slug) for slug in ("adit", bar.against or YARDSTICK))
                    ratios = self.ratios(case, row, "adit", bar.against or YARDSTICK)
                    judged = ratios if bar.against else self.values(case, row, "adit")
                    name = self.peers[bar.against].title if bar.against in self.peers else bar.against
                    words = f"{bar} {name}" if bar.against and bar.against != YARDSTICK else str(bar)
                    if bar.against and bar.against != YARDSTICK:
                        theirs = "–"
                    verdict = "not measured" if not judged else self.verdict(bar, judged)
                    ratio = show(ratios) if ratios else "–"
                    lines.append(line(case.full_title(row), theirs, ours, ratio, words, verdict))
        return lines if len(lines) > count else []

    @staticmethod
    def verdict(bar, judged):
        return "met" if bar.met(statistics.median(judged)) else "**missed**"

    def skipped(self, case, row):
        return row.optional and not self.bench.figures.get((case.slug, row.key))

    def sections(self):
        return list(dict.fromkeys(case.section for case in self.cases))

    def section(self, section):
        """All ways side by side; one column where only Adit has the cases."""
        cases = [case for case in self.cases if case.section == section]
        slugs = [slug for slug, peer in self.peers.items() if any(case.who(peer) for case in cases)]
        if not slugs:
            return []
        lines = header("figure", *(self.peers[slug].title for slug in slugs))
        for case in cases:
            for row in case.rows:
                if not self.skipped(case, row):
                    lines.append(line(row.title, *(self.cell(case, row, slug) for slug in slugs)))
        return lines

    def workers(self):
        """The default number of workers beside others."""
        others = [slug for slug in self.peers if slug.startswith("adit-w")]
        if "adit" not in self.peers or not others:
            return []
        titles = [f"Adit as shipped ({default_workers()})", *(self.peers[slug].title for slug in others)]
        lines = header("figure", *(f"{title} ÷ nginx two hops" for title in titles), *(f"{t} ÷ shipped" for t in titles[1:]))
        for case in self.cases:
            if case.when != "rounds":
                continue
            for row in case.rows:
                if not row.compared:
                    continue
                against = [self.ratios(case, row, slug, YARDSTICK) for slug in ("adit", *others)]
                within = [self.ratios(case, row, slug, "adit") for slug in others]
                if any(within):
                    lines.append(line(case.full_title(row), *(show(found) if found else "–" for found in against + within)))
        return lines

    def failures(self):
        titles = {case.slug: case.rows[0].title for case in CASES}
        return [
            f"- {titles.get(case, case)}, {self.peers[slug].title}: {' '.join(why.split())}"
            for (case, slug), why in self.bench.failures.items()
        ]


def write_page(path, text):
    """Puts the results between the marks of a page, and leaves its words alone."""
    page = path.read_text()
    head, rest = page.split(BEGIN, 1)
    _, tail = rest.split(END, 1)
    path.write_text(f"{head}{BEGIN}\n\n{text}\n{END}{tail}")
