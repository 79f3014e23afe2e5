"""The licences that may stand in the image, as expressions and classifiers name them: none of SSPL, RSAL, AGPL, GPL."""

from __future__ import annotations

import re
from typing import Final

# LGPL-2.1 is spyne's alone: it is imported as it came, and can be replaced in its folder.
_ALLOWED: Final = re.compile(
    r"MIT|MIT-0|BSD|BSD-2-Clause|BSD-3-Clause|Apache-2\.0|PSF-2\.0|ISC|MPL-2\.0|LGPL-2\.1|BSD License|MIT License"
    r"|3-Clause BSD License"
    r"|Apache Software License|ISC License \(ISCL\)|Python Software Foundation License"
)
JUDGED: Final = {"sly": "MIT", "protobuf": "BSD-3-Clause"}  # of which the bill says nothing: as their sources do


def refused(expressions: list[str]) -> list[str]:
    """Those that may not. An OR of which one may is fine; so is nothing that is not understood."""
    return [each for each in expressions if not _may(each)]


def _may(expression: str) -> bool:
    plain = expression.removeprefix("License :: OSI Approved :: ")
    if _ALLOWED.fullmatch(plain):
        return True
    terms = [term.strip(" ()") for term in re.split(r"\bAND\b", plain)]
    return all(any(_ALLOWED.fullmatch(each.strip()) for each in re.split(r"\bOR\b", term)) for term in terms)
