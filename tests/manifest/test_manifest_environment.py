"""Values and secrets of a node."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.findings import DocumentsRefused
from gateway.core.secrets import Secret
from gateway.manifest.environment import SecretMissing, fill, read_environment, reveal

TEXT = """kind: Environment
values: {erp_url: "http://erp", size: 5}
secrets: {token: {env: ERP_TOKEN}, password: {file: password.txt}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "environment.yaml").write_text(TEXT)
    return tmp_path / "environment.yaml"


def test_secrets_come_from_variables_and_from_files_beside_the_document(path: Path) -> None:
    (path.parent / "password.txt").write_text("hush\n")
    given = read_environment(path, {"ERP_TOKEN": "psst"})
    assert (given.secrets["token"].reveal(), given.secrets["password"].reveal()) == ("psst", "hush")
    assert given.values == {"erp_url": "http://erp", "size": 5}


def test_a_secret_is_in_no_repr(path: Path) -> None:
    given = read_environment(path, {"ERP_TOKEN": "psst"})
    assert repr(given.secrets["token"]) == "[redacted]"
    assert "psst" not in f"{given} {given.secrets}"


def test_a_missing_secret_is_told_with_its_source(path: Path) -> None:
    secrets = read_environment(path, {}).secrets
    with pytest.raises(SecretMissing, match="set the environment variable ERP_TOKEN"):
        secrets["token"]
    with pytest.raises(SecretMissing, match=r"cannot be read from .*password\.txt"):
        secrets["password"]
    with pytest.raises(SecretMissing, match="Did you mean token"):
        secrets["tokn"]


def test_a_secret_with_no_source_or_two_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text("kind: Environment\nsecrets: {a: {}, b: {env: B, file: b}}\n")
    with pytest.raises(DocumentsRefused) as caught:
        read_environment(tmp_path / "e.yaml")
    assert [finding.place.path for finding in caught.value.findings] == ["/secrets/a", "/secrets/b"]


def test_a_file_of_another_kind_is_no_environment(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text("kind: Topic\nname: a\n")
    with pytest.raises(DocumentsRefused, match="not an Environment but Topic"):
        read_environment(tmp_path / "e.yaml")


def test_a_whole_reference_keeps_the_value_s_type_and_a_part_becomes_text() -> None:
    values = {"size": 5, "on": True, "host": "erp"}
    config = {"a": "${size}", "b": ["http://${host}:${size}/${on}"], "c": "$${size}", "d": 1}
    assert fill(config, values) == {"a": 5, "b": ["http://erp:5/true"], "c": "${size}", "d": 1}


def test_a_value_that_is_missing_is_named() -> None:
    with pytest.raises(LookupError, match=r"no value 'hots'\. Did you mean host"):
        fill("${hots}", {"host": "erp"})


def test_a_filled_value_is_not_filled_again() -> None:
    assert fill("${a}-${b}", {"a": "${b}", "b": "x"}) == "${b}-x"


def test_secrets_are_revealed_wherever_they_stand() -> None:
    secrets = {"token": Secret("psst")}
    assert reveal({"a": "secret:token", "b": ["x://u:secret:token@h"]}, secrets) == {"a": "psst", "b": ["x://u:psst@h"]}
    with pytest.raises(SecretMissing, match="no secret 'tokens'"):
        reveal("secret:tokens", secrets)


def test_a_text_is_taken_as_it_is_and_becomes_a_string() -> None:
    config = {"schema": {"$file": "a.xsd", "$text": "${x} secret:y"}, "other": [{"$text": "${x}"}, "${x}"]}
    filled = fill(config, {"x": 1})
    assert reveal(filled, {}) == {"schema": "${x} secret:y", "other": ["${x}", 1]}


def test_a_map_with_more_than_a_text_is_a_map() -> None:
    assert fill({"$text": "${x}", "more": 1}, {"x": 1}) == {"$text": 1, "more": 1}
