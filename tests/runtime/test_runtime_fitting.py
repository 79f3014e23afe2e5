"""Whether other code may run for a revision: it takes all that the revision lets through, and returns nothing new."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from gateway import process
from gateway.runtime.contracts import read_process
from gateway.runtime.fitting import Signed, differences


def signed(function: Callable[..., Any]) -> Signed:
    read = read_process(process(function))
    return Signed.read(read.name, read.described())


class Order(BaseModel):
    id: int
    note: str | None = None


def published(id: int, size: Literal["s", "m"] = "s") -> Order:
    raise NotImplementedError


def same(id: int, size: Literal["s", "m"] = "s") -> Order:
    """With other code."""
    raise NotImplementedError


def one_more_parameter(id: int, size: Literal["s", "m"] = "s", quick: bool = False) -> Order:
    raise NotImplementedError


def one_more_size(id: int, size: Literal["s", "m", "l"] = "s") -> Order:
    raise NotImplementedError


class Sure(BaseModel):
    id: int
    note: str


def surer(id: int, size: Literal["s", "m"] = "s") -> Sure:
    raise NotImplementedError


def fewer_sizes(id: int, size: Literal["s"] = "s") -> Order:
    raise NotImplementedError


def another_required(id: int, quick: bool, size: Literal["s", "m"] = "s") -> Order:
    raise NotImplementedError


def text_ids(id: str, size: Literal["s", "m"] = "s") -> Order:
    raise NotImplementedError


class More(BaseModel):
    id: int
    note: str | None = None
    total: int = 0


def one_more_field(id: int, size: Literal["s", "m"] = "s") -> More:
    raise NotImplementedError


def perhaps_nothing(id: int, size: Literal["s", "m"] = "s") -> Order | None:
    raise NotImplementedError


def nothing(id: int, size: Literal["s", "m"] = "s") -> None:
    raise NotImplementedError


@pytest.mark.parametrize("hosted", [same, one_more_parameter, one_more_size, surer])
def test_what_takes_more_and_returns_no_more_fits(hosted: Callable[..., Any]) -> None:
    assert differences(signed(published), signed(hosted)) == []


@pytest.mark.parametrize(
    ("hosted", "told"),
    [
        (fewer_sizes, "input size no longer takes m"),
        (another_required, "input quick is new and required"),
        (text_ids, "input id is string now, no longer int64"),
        (one_more_field, "output total: the revision's is refused now"),
        (perhaps_nothing, "output : the revision's may no longer be null"),
        (nothing, "one of the two returns nothing"),
    ],
)
def test_what_takes_less_or_returns_more_does_not_fit_and_says_where(hosted: Callable[..., Any], told: str) -> None:
    assert told in differences(signed(published), signed(hosted))


def test_fitting_has_a_direction() -> None:
    assert differences(signed(one_more_parameter), signed(published)) == ["input quick is refused now"]
