"""Runs the conformance tests and writes the table in docs/conformance.md: each promised line with its tests.

    python -m tests.conformance.table

A test belongs to the line that its name begins with (`test_f01_…`); the number behind it counts its variants.
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

HERE: Final = Path(__file__).resolve().parent
DOCUMENT: Final = HERE.parent.parent / "docs" / "conformance.md"
OWN: Final = "tests/conformance/test_conformance_table.py"  # compares this table with the tests
BEGIN, END = "<!-- begin: written by tests/conformance/table.py -->", "<!-- end -->"

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


Results = dict[str, Counter[str]]


def run() -> Results:
    """Runs all tests of this folder, those of `make soak` too: name, then outcome, then number."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", str(HERE), "-m", "", f"--junitxml={report}", f"--deselect={OWN}"]
        subprocess.run(command, check=False, cwd=HERE.parent.parent)
        found: Results = defaultdict(Counter)
        for case in ElementTree.parse(report).iter("testcase"):
            outcome = next((part.tag for part in case if part.tag in ("failure", "error", "skipped")), "passed")
            found[case.attrib["name"].partition("[")[0]][outcome] += 1
    return found


def table(found: Results) -> str:
    rows = ["| line | what | tests (variants) | result |", "|---|---|---|---|"]
    for letter, lines in LINES.items():
        for number, what in lines.items():
            prefix = f"test_{letter.lower()}{number:02}_"
            rows.append(
                _row(f"{letter}{number}", what, {name: found[name] for name in found if name.startswith(prefix)})
            )
    others = {name: found[name] for name in found if not re.match(r"test_[a-z]\d\d_", name)}
    rows.append(_row("all", "what is legal is served, in any cut; random bytes", others))
    return "\n".join(rows)


def _row(line: str, what: str, found: Results) -> str:
    tests = ", ".join(f"`{name}` ({outcomes.total()})" for name, outcomes in sorted(found.items()))
    total = sum(found.values(), Counter())
    result = ", ".join(f"{number} {outcome}" for outcome, number in sorted(total.items())) or "missing"
    return f"| {line} | {what} | {tests} | {result} |"


def main() -> None:
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table(run())}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
