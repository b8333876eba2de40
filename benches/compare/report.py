"""The results of a comparison in Markdown: the machine, tables, and their place in the docs."""

import os
import platform
import re
import resource
import statistics
import subprocess
import time
from pathlib import Path

import chart
from programs import BARE, ROOT, Missing

#: No figures are published above these limits: the load, and other programs' share of the processors.
LOAD = 0.5
OTHERS = 0.05

COLUMNS = {
    "rate": ("views/s", "{:,.0f}"),
    "application": ("app µs/view", "{:.1f}"),
    "redis": ("Redis µs/view", "{:.1f}"),
    "commands": ("commands/view", "{:.2f}"),
    "p50": ("p50 ms", "{:.2f}"),
    "p99": ("p99 ms", "{:.2f}"),
    "rss": ("memory MiB", "{:.1f}"),
}
#: By round trip.
DISTANT = {
    "rate": COLUMNS["rate"],
    "p99": COLUMNS["p99"],
    "cpu": ("CPU µs/view", "{:.1f}"),
    "errors": ("views refused", "{:,.0f}"),
}
RATIOS = {"rate": "views/s", "cpu": "CPU per view", "redis": "Redis CPU", "p99": "p99", "rss": "memory"}


class Machine:
    """The machine, and how busy it was with other programs."""

    @classmethod
    def before(cls, publish):
        machine = cls()
        machine.load = os.getloadavg()[0]
        if publish and machine.load > LOAD:
            raise Missing(
                f"the load is {machine.load:.1f}; figures are only published from an idle machine, "
                f"with a load of at most {LOAD}"
            )
        return machine

    def start(self):
        self.busy, self.own, self.since = _busy(), _own(), time.monotonic()

    def finish(self):
        """Call this after all processes have ended."""
        self.after = os.getloadavg()[0]
        others = _busy() - self.busy - (_own() - self.own)
        self.others = max(0, others) / (time.monotonic() - self.since) / os.cpu_count()

    def check(self):
        if self.others > OTHERS:
            raise Missing(
                f"not published: other programs took {self.others:.0%} of the processors meanwhile"
            )

    def text(self):
        cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        head = _output("git", "rev-parse", "--short", "HEAD")
        changed = _output("git", "status", "--porcelain", "--", ":!docs", ":!benches")
        versions = [
            "Redis " + re.search(r"v=(\S+)", _output("redis-server", "--version"))[1],
            "Node " + _output("node", "--version"),
            _output("rustc", "--version").rpartition(" (")[0],
        ]
        return (
            f"Commit {head}{', changed' if changed else ''}; {os.cpu_count()} × "
            f"{cpu[1] if cpu else platform.machine()}, {platform.system()} {platform.release()}; "
            f"{', '.join(versions)}. The load was {self.load:.1f} before and {self.after:.1f} after; "
            f"other programs took {self.others:.1%} of the processors meanwhile."
        )


def _busy():
    """Seconds in which the processors worked or were used by other virtual machines."""
    user, nice, system, _, _, _, _, steal = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    )
    return (user + nice + system + steal) / os.sysconf("SC_CLK_TCK")


def _own():
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(it.ru_utime + it.ru_stime for it in map(resource.getrusage, whose))


def _output(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip()


def text(result):
    arguments = result["arguments"]
    what = {
        "prebuilt": "HTML that is rendered once",
        "templates": "HTML that is rendered at each view",
        "json": "JSON",
    }[arguments["mode"]]
    parts = [
        f"{result['machine']} {arguments['rounds']} rounds of {arguments['seconds']} s, "
        f"{arguments['sessions']} sessions, {what}: medians (least–most)."
    ]
    columns = result["columns"]
    if arguments["section"] == "round trips":
        parts.append(f"{arguments['visitors']:,} views at a time; Redis behind a proxy.")
        parts += [_round_trips(columns, key) for key in DISTANT]
        return "\n\n".join(parts) + "\n"
    parts += [_ratios(title, samples, result["starts"]) for title, samples in columns.items()]
    parts += [_added(title, samples) for title, samples in columns.items()]
    parts += [_table(title, samples) for title, samples in columns.items()]
    parts += [_starts(result["starts"]), _sizes(result["sizes"])]
    return "\n\n".join(filter(None, parts)) + "\n"


def _table(title, samples):
    rows = []
    for name, them in samples.items():
        cells = [spread([it[key] for it in them], form) for key, (_, form) in COLUMNS.items()]
        rows.append([name, *cells])
    return markdown([title, *(head for head, _ in COLUMNS.values())], rows)


def _ratios(title, samples, starts):
    """The ratios of the first program to each of the others, computed for each round."""
    first, *others = samples
    rows = []
    for name in others:
        if name in BARE.values():
            continue
        cells = [_ratio(samples[first], samples[name], key) for key in RATIOS]
        start = [ours / theirs for ours, theirs in zip(starts[first], starts[name])]
        rows.append([name, *cells, spread(start, "{:.3g}")])
    return markdown([f"{first} to theirs, {title}", *RATIOS.values(), "start"], rows)


def _ratio(ours, theirs, key):
    # There is no ratio to a cost that is too small to measure.
    pairs = [(a[key], b[key]) for a, b in zip(ours, theirs) if b[key]]
    return spread([a / b for a, b in pairs], "{:.3g}") if pairs else "–"


def _added(title, samples):
    """What sessions add to a view, for each round: the program minus the one without sessions."""
    rows = []
    for name, bare in BARE.items():
        if name not in samples or bare not in samples:
            continue
        pairs = list(zip(samples[name], samples[bare]))
        of = lambda key: spread([a[key] - b[key] for a, b in pairs], "{:.1f}")
        rate = spread([a["rate"] / b["rate"] for a, b in pairs], "{:.2f}")
        rows.append([name, of("application"), of("redis"), of("cpu"), rate])
    heads = ["app µs", "Redis µs", "both µs", "views/s relative to none"]
    return markdown([f"what a session adds per view, {title}", *heads], rows) if rows else ""


def _starts(starts):
    rows = [[name, spread(values, "{:,.0f}")] for name, values in starts.items()]
    return markdown(["cold start to first page", "ms"], rows)


def _sizes(sizes):
    rows = [
        [name, f"{it['body']:,}", f"{it['headers']:,}", "yes" if it["cookie"] else "no"]
        for name, it in sizes.items()
    ]
    return markdown(["an answer", "body bytes", "header bytes", "sets a cookie each time"], rows)


def _round_trips(columns, key):
    """One figure for each round trip, and relative to the first round trip."""
    head, form = DISTANT[key]
    first = next(iter(columns.values()))
    rows = []
    for name in first:
        cells = [spread([it[key] for it in samples[name]], form) for samples in columns.values()]
        if key == "rate":
            rest = list(columns.values())[1:]
            cells += [_ratio(samples[name], first[name], key) for samples in rest]
        rows.append([name, *cells])
    heads = list(columns)
    if key == "rate":
        heads += [f"{title} to {heads[0]}" for title in heads[1:]]
    return markdown([head, *heads], rows)


def spread(values, form):
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{form.format(middle)} ({form.format(least)}–{form.format(most)})"


def markdown(heads, rows):
    lines = [heads, ["---"] + ["--:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def publish(section, text, result=None):
    """Writes the text into docs/performance.md, between its section's marks, and the chart beside it."""
    document = ROOT / "docs" / "performance.md"
    before, begin, rest = document.read_text().partition(f"<!-- figures: {section} -->\n")
    _, end, after = rest.partition("<!-- end of figures -->\n")
    if not end:
        raise Missing(f"{document} has no place for the figures of {section}")
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}")
    if section == "prebuilt":
        (ROOT / "docs" / "performance.svg").write_text(chart.draw(result["columns"]))
