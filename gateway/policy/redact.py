"""`redact`: parts of bodies masked, removed or hashed, by path.

`{use: redact, with: {response: {paths: [$..card, $.customer.email], action: mask}}}`; XML by `elements: [//card]`.
A body that cannot be read as what its media type says is refused, never passed on: 502 for replies, 400 for
requests. So is one whose media type is neither JSON nor XML, and XML where no `elements` are given, JSON where no
`paths` are, unless `other: skip`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, model_validator

from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.core.secrets import KeyHasher
from gateway.policy.content.content_type import Media
from gateway.policy.transforming import rewriting, value_paths
from gateway.schema.json_exact import dumps, text_of
from gateway.schema.json_loads import loads

Hide = Callable[[str], str | None]  # None: it goes


class Redaction(rewriting.Part):
    paths: tuple[str, ...] = Field((), description="JSON: $.card.number, $.lines[*].price, $..password (RFC 9535)")
    elements: tuple[str, ...] = Field((), description="XML: /order/card, //password, //card/@number; by local names")
    action: Literal["mask", "remove", "hash"] = "mask"
    with_: str = Field("***", alias="with", description="mask: what stands instead")
    keep: int = Field(0, ge=0, le=8, description="mask: so many of the last characters stay, of at least twice as many")

    @model_validator(mode="after")
    def _fits(self) -> Redaction:
        if not self.paths and not self.elements:
            raise ValueError("say what is redacted: `paths` for JSON, `elements` for XML")
        for path in self.paths:
            value_paths.parse(path)
        if self.action != "mask" and {"with_", "keep"} & self.model_fields_set:
            raise ValueError("`with` and `keep` belong to the action mask")
        return self


class ReplyRedaction(Redaction, rewriting.Statuses):
    pass


class Redact(rewriting.Directions):
    request: Redaction | None = None
    response: ReplyRedaction | None = None


def build(config: Redact, site: Site) -> Built:
    hasher = site.services.find(KeyHasher)
    return rewriting.both(config, lambda part: _rewrite(part, hasher))


def _rewrite(config: Redaction, hasher: KeyHasher | None) -> rewriting.Rewrite:
    hide = _hide(config, hasher)
    in_json = _json(config.paths, hide)
    in_xml = _xml(config.elements, hide) if config.elements else None

    def takes(media: Media) -> bool:
        return (media.is_json and bool(config.paths)) or (media.is_xml and in_xml is not None)

    def apply(_given: None, body: bytes, media: Media) -> rewriting.Rewritten:
        if media.is_json:
            return in_json(body), None
        assert in_xml is not None
        return in_xml(body, media), None

    wanted = " or ".join(name for name, given in (("JSON", config.paths), ("XML", config.elements)) if given)
    return rewriting.Rewrite(takes, wanted, apply, problems=True)


def _hide(config: Redaction, hasher: KeyHasher | None) -> Hide:
    """Of texts; a hash is keyed by the cluster's secret, so that nobody finds a short value by trying."""
    if config.action == "remove":
        return lambda _text: None
    if config.action == "hash":
        if hasher is None:
            raise ValueError("this gateway has no key secret to hash with")
        return lambda text: hasher.digest(hashlib.sha256(b"redact\0" + text.encode()).hexdigest().encode()).hex()[:32]
    mask, keep = config.with_, config.keep
    if keep == 0:
        return lambda _text: mask
    return lambda text: mask + text[-keep:] if len(text) >= 2 * keep else mask


def _json(paths: tuple[str, ...], hide: Hide) -> Callable[[bytes], bytes]:
    def change(value: Any) -> Any:
        text = hide(text_of(value))
        return value_paths.REMOVED if text is None else text

    changers = [value_paths.changer(value_paths.parse(path), change) for path in paths]

    def redact(body: bytes) -> bytes:
        value = loads(body)
        for apply in changers:
            apply(value)
        return dumps(value)

    return redact


def _xml(paths: tuple[str, ...], hide: Hide) -> Callable[[bytes, Media], bytes]:
    from gateway.policy.content import xml_reading
    from gateway.policy.transforming import element_paths

    changers = [element_paths.changer(path, hide) for path in paths]

    def redact(body: bytes, media: Media) -> bytes:
        root = xml_reading.parse(body, media.charset)
        for apply in changers:
            left = apply(root)
            if left is None:
                raise ValueError("a path removes the whole document")
        return xml_reading.serialise(root)

    return redact


KIND = Kind(
    "redact",
    Redact,
    build,
    stage=Stage.BODY,
    reply_stage=Stage.BODY,
    summary="Masks, removes or hashes parts of bodies",
    example={"response": {"paths": ["$..card"]}},
    libraries=("gateway.policy.transforming.element_paths", "gateway.policy.content.xml_reading"),
)
