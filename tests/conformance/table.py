"""Runs the conformance tests and writes the tables in docs/conformance.md: each promised line with its tests.

    python -m tests.conformance.table [--figures]

A test belongs to the line that its name begins with (`test_f01_…`), those outside of this folder also to the lines that
`cases` finds; the number behind it counts its variants. What takes time is not run: its figures are those that
`make soak` recorded; `--figures` takes those over and runs nothing.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from tests import soak
from tests.conformance import cases

HERE: Final = Path(__file__).resolve().parent
DOCUMENT: Final = HERE.parent.parent / "docs" / "conformance.md"
OWN: Final = "tests/conformance/test_conformance_table.py"  # compares this table with the tests
BEGIN, END = "<!-- begin: written by tests/conformance/table.py -->", "<!-- end -->"
FIGURES: Final = "<!-- begin: figures, written by tests/conformance/table.py --figures -->"

LINES: Final = {
    "F": {
        1: "Content-Length with Transfer-Encoding, in every order",
        2: "Content-Length twice or as a list",
        3: "`+3`, `1_0`, `-1`, `0x3`, empty, beyond 64 bits",
        4: "Transfer-Encoding that is not `chunked` alone",
        5: "Transfer-Encoding in HTTP/1.0",
        6: "`Name :`, an empty name, no colon",
        7: "folded fields",
        8: "bare line feed, bare carriage return, NUL and other controls",
        9: "malformed chunk sizes and ends",
        10: "malformed or large chunk extensions",
        11: "trailers never become headers",
        12: "Host missing, twice or malformed",
        13: "policies read the path of the request line",
        14: "absolute-form of another host",
        15: "CONNECT, TRACE, `OPTIONS *`, lower-case methods",
        16: "versions, blanks, fragments, other protocols",
        17: "heads and targets that are too large",
        18: "bodies of any method, and what is pipelined behind them",
        19: "Expect",
        20: "Upgrade to other protocols",
        21: "Upgrade with a body",
        22: "line breaks in values of policies; fields of the hop",
        23: "ambiguous, broken, early and unasked responses; interim ones",
        24: "the deadline of a request",
        25: "the HTTP/2 preface",
    },
    "P": {
        26: "`..` in every spelling",
        27: "`%2f`, `%5c`, `//`, `;x`, `%61`, case, trailing slash",
        28: "`%0a` and the like behind a path",
        29: "`%00`, `%zz`, overlong UTF-8",
        30: "decisions hold for the rewritten path",
        31: "names and paths in documents",
    },
    "H": {
        32: "Connection cannot name away what counts",
        33: "claimed identities are dropped",
        34: "underscores for dashes",
        35: "who the client is",
        36: "fields that name another path, host or method",
        37: "parts of a batch",
        38: "bodies reach the steps that want them, or 413",
    },
}

ELSEWHERE: Final = {
    "A57": "slow clients, slow readers, idle connections, more than a worker can do",
    "A58": "upstreams that refuse, reset, hang, half-close, drip: 502 and 504 in time, nothing cut looks whole",
    "A59": "circuits: open at N, half-open admits one, a thousand cycles leak nothing",
    "A60": "clients that go away at any moment leak nothing",
    "A61": "attempts are at most 1.2 times the requests",
    "A62": "the store stopped, frozen, killed, reset, full, read-only, loading",
    "A63": "cancels: no answer to another request",
    "A64": "clocks that jump; no counter without an end",
    "A65": "publishing and restarting under kept connections",
    "A66": "SIGTERM with a slow request, an event stream and a WebSocket",
    "A67": "a watch over the event loop runs in every test",
    "M73": "where upstreams may lead holds for every spelling, after DNS too",
}


Results = dict[str, Counter[str]]


def run() -> Results:
    """Runs all tests of this folder, those of `make soak` too, and those of `ELSEWHERE` that are quick: name, then
    outcome, then number."""
    quick = {case for each in shown().values() for case in each if not case.soak}
    others = sorted({f"tests/{case.file}::{case.name}" for case in quick if HERE.name not in Path(case.file).parts})
    found: Results = defaultdict(Counter)
    for arguments in ([str(HERE), "-m", "", f"--deselect={OWN}"], others):
        _run(arguments, found)
    return found


def _run(arguments: list[str], found: Results) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", *arguments, f"--junitxml={report}"]
        subprocess.run(command, check=False, cwd=HERE.parent.parent)
        for case in ElementTree.parse(report).iter("testcase"):
            outcome = next((part.tag for part in case if part.tag in ("failure", "error", "skipped")), "passed")
            found[case.attrib["name"].partition("[")[0]][outcome] += 1


def shown() -> dict[str, list[cases.Case]]:
    """The tests of the lines of `ELSEWHERE`."""
    found = cases.found()
    return {line: found.get(line, []) for line in ELSEWHERE}


def elsewhere(found: Results) -> str:
    """The table of the lines that other tests show."""
    rows = ["| line | what | tests (variants) | result |", "|---|---|---|---|"]
    for line, tests in shown().items():
        rows.append(_row(line, ELSEWHERE[line], {each.name: found[each.name] for each in tests if not each.soak}))
    return "\n".join(rows)


def figures() -> str:
    """What `make soak` recorded of them."""
    rows = ["| line | takes time (`make soak`) | what | figure | date |", "|---|---|---|---|---|"]
    recorded = tuple(soak.rows())
    for line, tests in shown().items():
        for each in (each for each in tests if each.soak):
            own = [row for row in recorded if row.test.partition("[")[0] == each.name]
            rows += [f"| {line} | `{row.test}` | {row.what} | {row.figure} | {row.date} |" for row in own]
            if not own:
                rows.append(f"| {line} | `{each.name}` | | not recorded yet | |")
    return "\n".join(rows)


def table(found: Results) -> str:
    rows = ["| line | what | tests (variants) | result |", "|---|---|---|---|"]
    for letter, lines in LINES.items():
        for number, what in lines.items():
            prefix = f"test_{letter.lower()}{number:02}_"
            rows.append(
                _row(f"{letter}{number}", what, {name: found[name] for name in found if name.startswith(prefix)})
            )
    known = {each.name for tests in shown().values() for each in tests}
    others = {name: found[name] for name in found if not re.match(r"test_[a-z]\d\d_", name) and name not in known}
    rows.append(_row("all", "what is legal is served, in any cut; random bytes", others))
    return "\n".join(rows)


def _row(line: str, what: str, found: Results) -> str:
    tests = ", ".join(f"`{name}` ({outcomes.total()})" for name, outcomes in sorted(found.items()))
    total = sum(found.values(), Counter())
    result = ", ".join(f"{number} {outcome}" for outcome, number in sorted(total.items())) or "missing"
    return f"| {line} | {what} | {tests} | {result} |"


def main() -> None:
    text = DOCUMENT.read_text()
    if "--figures" not in sys.argv:
        found = run()
        between = "What other tests show: availability (A), and where upstreams may lead (M73)."
        text = _replaced(text, BEGIN, f"{table(found)}\n\n{between}\n\n{elsewhere(found)}")
    DOCUMENT.write_text(_replaced(text, FIGURES, figures()))


def _replaced(text: str, begin: str, what: str) -> str:
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{what}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    main()
