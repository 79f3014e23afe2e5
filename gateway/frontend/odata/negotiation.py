"""Which form a client asks for: Accept, `$format`, OData-MaxVersion, Prefer (OData 4.01 Protocol, 8.2; JSON Format, 3).

Excel and Power BI send a q-weighted Accept that also lists `application/atomsvc+xml`: the best range that can be
served decides, others are passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gateway.core.errors import BadRequest, NotAcceptable
from gateway.core.exchange import Head

_RANGE: Final = re.compile(r"\s*([\w!#$&^.+*-]+/[\w!#$&^.+*-]+)\s*((?:;[^,;]*)*)")
_QUALITY: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_VERSION: Final = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})")
_PAGE_SIZE: Final = re.compile(r"(?:^|,)\s*(odata\.)?maxpagesize\s*=\s*([0-9]{1,9})\s*(?=[,;]|$)", re.IGNORECASE)
_SHORT: Final = {"json": "application/json", "xml": "application/xml", "atom": "application/atom+xml"}
_LEVELS: Final = ("none", "minimal", "full")


@dataclass(frozen=True, slots=True)
class Format:
    """JSON with this much control information; `ieee754`: decimals and 64-bit integers as strings."""

    metadata: str = "minimal"
    ieee754: bool = False

    @property
    def media_type(self) -> bytes:
        text = f"application/json;odata.metadata={self.metadata}"
        return (text + (";IEEE754Compatible=true" if self.ieee754 else "") + ";charset=utf-8").encode()


def check_version(head: Head) -> None:
    """BadRequest for a client that cannot read 4.0, or that sends what is not 4.0 or 4.01."""
    most = _version(head, b"odata-maxversion")
    if most is not None and most < (4, 0):
        raise BadRequest("This service speaks OData 4.0, which OData-MaxVersion rules out.", target="OData-MaxVersion")
    sent = _version(head, b"odata-version")
    if sent is not None and sent not in ((4, 0), (4, 1)):
        raise BadRequest(
            "This service reads OData 4.0 and 4.01, and OData-Version says otherwise.", target="OData-Version"
        )


def _version(head: Head, name: bytes) -> tuple[int, int] | None:
    value = head.get(name)
    if value is None:
        return None
    found = _VERSION.fullmatch(value.decode("latin-1").strip().split(";")[0])
    if found is None:
        raise BadRequest(f"{name.decode()} is not a version such as 4.0.", target=name.decode())
    return int(found[1]), int(found[2].lstrip("0") or 0)


def json_format(head: Head, option: str | None) -> Format:
    """The form of a JSON answer. `$format` beats Accept. NotAcceptable when JSON is ruled out."""
    found = _json(_asked(head, option))
    if found is None:
        raise NotAcceptable("This resource answers application/json.", target="$format" if option else "Accept")
    return found


def takes(head: Head, option: str | None, media_type: str) -> bool:
    """Whether a client takes `media_type`."""
    fitting = (media_type, media_type.partition("/")[0] + "/*", "*/*")
    return any(kind in fitting and quality > 0 for kind, quality, _ in _ranges(_asked(head, option)))


def require_type(head: Head, option: str | None, media_type: str) -> None:
    """NotAcceptable when a client rules `media_type` out."""
    if not takes(head, option, media_type):
        raise NotAcceptable(f"This resource answers {media_type}.", target="$format" if option else "Accept")


def _asked(head: Head, option: str | None) -> str:
    if option is not None:
        return _SHORT.get(option.lower(), option)
    given = head.get(b"accept")
    return "*/*" if given is None or not given.strip() else given.decode("latin-1")


@lru_cache(maxsize=256)
def _ranges(text: str) -> tuple[tuple[str, float, dict[str, str]], ...]:
    """Media ranges with their weight and parameters, the best first; what cannot be read is passed over."""
    made = []
    for part in text.split(","):
        found = _RANGE.fullmatch(part.rstrip())
        if found is None:
            continue
        pairs = (pair.partition("=") for pair in found[2].split(";") if pair.strip())
        parameters = {name.strip().lower(): value.strip().strip('"').lower() for name, _, value in pairs}
        quality = parameters.pop("q", "1")
        made.append((found[1].lower(), float(quality) if _QUALITY.fullmatch(quality) else 0.0, parameters))
    return tuple(sorted(made, key=lambda one: -one[1]))


@lru_cache(maxsize=256)
def _json(text: str) -> Format | None:
    for kind, quality, parameters in _ranges(text):
        if quality > 0 and kind in ("application/json", "application/*", "*/*"):
            level = parameters.get("odata.metadata", parameters.get("metadata", "minimal"))
            if level in _LEVELS and parameters.get("charset", "utf-8") in ("utf-8", "utf8"):
                return Format(level, parameters.get("ieee754compatible") == "true")
    return None


def page_size(head: Head, most: int) -> tuple[int, bytes | None]:
    """Rows of one page, and what Preference-Applied says of it (Protocol, 8.2.8.6)."""
    found = _PAGE_SIZE.search((head.get(b"prefer") or b"").decode("latin-1"))
    if found is None or not 0 < int(found[2]) <= most:
        return most, None
    return int(found[2]), f"{(found[1] or '').lower()}maxpagesize={int(found[2])}".encode()
