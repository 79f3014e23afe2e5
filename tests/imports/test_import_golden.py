"""Golden pairs: NAME.KIND.in.* becomes NAME.KIND.out.yaml, and NAME.KIND.notes.txt is what could not be carried over.

Each is made by the command itself, which writes nothing that `penstock check` refuses.
`pytest tests/imports --update-golden` rewrites what is expected: look at the difference before committing it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.findings import DocumentsRefused
from gateway.manifest.imports.source import Sources
from gateway.manifest.imports.wsdl import import_wsdl
from tests.cli.cli_harness import penstock

GOLDEN = Path(__file__).parent.parent / "golden" / "imports"
INPUTS = sorted(GOLDEN.glob("*.in.*"))


def names(path: Path) -> str:
    return path.name.partition(".in.")[0]


@pytest.mark.parametrize("path", INPUTS, ids=names)
def test_what_a_document_becomes(path: Path, tmp_path: Path, update_golden: bool) -> None:
    kind = names(path).rpartition(".")[2]
    out = tmp_path / "made.yaml"
    ran = penstock("import", kind, path, "--out", out)
    assert ran.code == 0, ran.err
    notes = "\n".join(line.strip() for line in ran.err.splitlines()[1:]) + "\n"
    for ending, found in (("out.yaml", out.read_text()), ("notes.txt", notes)):
        expected = GOLDEN / f"{names(path)}.{ending}"
        if update_golden:
            expected.write_text(found)
        assert found == expected.read_text()


def test_check_passes_on_what_was_made() -> None:
    ran = penstock("check", *(GOLDEN / f"{names(path)}.out.yaml" for path in INPUTS))
    assert ran.code == 0, ran.err


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    made = [penstock("import", "openapi", GOLDEN / "styles.openapi.in.yaml").out for _ in range(2)]
    assert made[0] == made[1] != ""


def test_encoded_operations_alone_are_refused_with_the_reason(tmp_path: Path) -> None:
    text = (GOLDEN / "rpc.wsdl.in.xml").read_text().replace('use="literal"', 'use="encoded"')
    (tmp_path / "old.wsdl").write_text(text)
    with pytest.raises(DocumentsRefused, match="encoded"):
        import_wsdl(Sources(str(tmp_path / "old.wsdl")))
