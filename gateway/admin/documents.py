"""Documents as they arrive at the admin REST: read by their media type, and refused with every finding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.core.errors import Conflict, Detail, InvalidInput, UnsupportedMediaType
from gateway.core.findings import DocumentsRefused, Finding
from gateway.manifest.loading import Loaded, load_text
from gateway.manifest.transfer import MEDIA_TYPE as PACKED
from gateway.manifest.transfer import unpack

TEXTS: Final = ("application/yaml", "application/x-yaml", "text/yaml", "application/json")


class Refused(InvalidInput):
    """Documents that cannot be used; every finding is a detail with its place."""

    status, title, code = 422, "The documents were refused", "documents_refused"


class Breaking(Conflict):
    title, code = "Consumers of this version would notice", "breaking_change"


def refused(findings: Sequence[Finding]) -> Refused:
    count = len(findings)
    details = [Detail(str(each.place), f"{each.message} {each.hint}".strip(), each.code) for each in findings]
    return Refused(f"{count} finding{'s' * (count > 1)}: {findings[0]}", details=details)


def read_documents(body: bytes, media_type: str, label: str) -> list[Loaded]:
    """UnsupportedMediaType, Refused with every finding."""
    if media_type not in {PACKED, *TEXTS}:
        raise UnsupportedMediaType(f"Send documents as one of {', '.join([*TEXTS, PACKED])}.")
    try:
        if media_type == PACKED:
            return unpack(body)
        return load_text(body.decode(), label, as_json=media_type == "application/json")
    except UnicodeDecodeError:
        raise InvalidInput("The body is no UTF-8 text.") from None
    except DocumentsRefused as error:
        raise refused(error.findings) from None
