"""Whether the code that a runtime hosts may run for a revision that was published with other code.

It may when it takes everything that the revision's contract lets through, and returns nothing that the contract does
not know: additions to the input, and fewer surprises in the output, need no publishing first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.manifest.narrowing import Comparison
from gateway.schema import json_schema
from gateway.schema.contract import read_operation
from gateway.schema.types import Operation, Types


class Signed(NamedTuple):
    """A contract with the digest of the code that it was read from."""

    operation: Operation
    types: Types
    digest: str

    @classmethod
    def read(cls, name: str, described: Any) -> Signed:
        """Of what a runtime tells of a process: `Process.described`. DocumentsRefused, or KeyError, TypeError and the
        like for what is none."""
        types = json_schema.read_types(described["types"], "")
        contract = described["contract"]
        return cls(read_operation(name, contract, types), types, str(contract["digest"]))


def differences(published: Signed, hosted: Signed) -> list[str]:
    """What keeps `hosted` from running for `published`, in words; empty when nothing does."""
    found: list[str] = []
    taking = Comparison(published.types, hosted.types, True, lambda path, what: found.append(f"input {path} {what}"))
    taking.types(published.operation.input, hosted.operation.input, "")
    before, after = hosted.operation, published.operation
    if before.output is None or after.output is None:
        if (before.output is None) != (after.output is None):
            found.append("one of the two returns nothing")
        return found
    returning = Comparison(
        hosted.types, published.types, True, lambda path, what: found.append(f"output {path}: the revision's {what}")
    )
    returning.nullable(before.output_nullable, after.output_nullable, "")
    returning.types(before.output, after.output, "")
    return found
