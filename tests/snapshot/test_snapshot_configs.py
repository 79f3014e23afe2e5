"""Findings about settings, in plain words."""

from __future__ import annotations

import pytest

from gateway.backend.http import HttpConnection
from gateway.core.findings import Place
from gateway.policy.rate_limit import RateLimit
from gateway.snapshot.configs import check_config, condition_fits

HERE = Place("a.yaml", 1, 1)


def told(config: dict[str, object]) -> list[str]:
    return [f"{each.message} {each.hint}".strip() for each in check_config(RateLimit, config, HERE, "`rate-limit`")]


@pytest.mark.parametrize("by", ["apps", 7, {"clam": "x"}])
def test_a_choice_that_is_none_is_one_finding_with_all_choices(by: object) -> None:
    expected = "`rate-limit`, `by`: it is none of application, key, ip, endpoint, {claim: …}, {header: …}."
    assert told({"limit": "1/s", "by": by}) == [expected]


def test_a_number_in_place_of_text_is_told_in_plain_words() -> None:
    assert told({"limit": 100}) == ["`rate-limit`, `limit`: it must be text."]


@pytest.mark.parametrize("limit", ["100 per minute", "100/1week", "0/1m"])
def test_a_rate_that_is_none_says_how_to_write_one(limit: str) -> None:
    (finding,) = told({"limit": limit})
    assert f"`{limit}` is no rate; write it as 100/1m" in finding


def test_a_target_from_the_environment_is_checked_and_one_with_a_secret_is_left_for_later() -> None:
    (finding,) = check_config(HttpConnection, {"targets": ["127.0.0.1:9191"]}, HERE, "The backend `erp`")
    assert "write http://host:port" in finding.message
    assert check_config(HttpConnection, {"targets": ["http://secret:host"]}, HERE, "The backend `erp`") == []


def test_a_condition_that_does_not_compile_does_not_fit() -> None:
    assert condition_fits(None)
    assert condition_fits({"method": "GET"})
    assert not condition_fits({"verb": "GET"})


def test_a_file_that_could_not_be_included_is_told_before_the_setting_it_stands_for() -> None:
    (finding,) = told({"limit": {"$file": "limits/usual.txt"}})
    assert "the file limits/usual.txt cannot be included here" in finding
    assert told({"limit": {"$file": "limits/usual.txt", "$text": "100/1m"}}) == []
