"""A client's certificate in the field of a proxy that ended its TLS: Client-Cert (RFC 9440 section 2.2) and Envoy's
X-Forwarded-Client-Cert. Imported where a step believes one.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.core.certificate import ClientCertificate, client_certificate
from gateway.core.errors import BadRequest

_PAIR: Final = re.compile(r'([A-Za-z]++)=("(?:[^"\\]|\\.)*+"|[^",;]*+)(;|,|\Z)')
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_NAMES: Final = {"uri": "URI", "dns": "DNS"}


@lru_cache(maxsize=4096)
def client_cert(value: bytes) -> ClientCertificate:
    """Of `:BASE64:`, the DER form as a Byte Sequence (RFC 9651 section 3.3.5). BadRequest."""
    if len(value) < 3 or value[:1] != b":" or value[-1:] != b":":
        raise BadRequest("Client-Cert is a Byte Sequence, :BASE64: (RFC 9440).")
    try:
        return _read(x509.load_der_x509_certificate(base64.b64decode(value[1:-1], validate=True)))
    except (binascii.Error, ValueError):
        raise BadRequest("Client-Cert holds no certificate.") from None


@lru_cache(maxsize=4096)
def forwarded_client_cert(value: bytes) -> ClientCertificate:
    """Of the last element, which the nearest proxy added: its `Cert` where there is one, else what it tells of it, of
    which the issuer is no part. BadRequest."""
    pairs = _last(value.decode("latin-1"))
    cert = dict(pairs).get("cert")
    if cert is not None:
        try:
            return _read(x509.load_pem_x509_certificate(unquote_to_bytes(cert)))
        except ValueError:
            raise BadRequest("X-Forwarded-Client-Cert holds no certificate.") from None
    told = dict(pairs)
    fingerprint = told.get("hash", "").lower()
    if _HASH.fullmatch(fingerprint) is None:
        raise BadRequest("X-Forwarded-Client-Cert tells neither Cert nor Hash.")
    names = tuple((_NAMES[name], text) for name, text in pairs if name in _NAMES)
    return ClientCertificate(told.get("subject", ""), "", "", fingerprint, names)


def _last(text: str) -> list[tuple[str, str]]:
    """(name in lower case, value) of the last element. BadRequest for what cannot be read."""
    element: list[tuple[str, str]] = []
    at, ended = 0, False
    while (match := _PAIR.match(text, at)) is not None:
        if ended:
            element, ended = [], False
        name, value, end = match.groups()
        element.append((name.lower(), _unquoted(value)))
        ended = end == ","
        at = match.end()
        while text[at : at + 1] == " ":
            at += 1
        if at == len(text) and not end:
            return element
    raise BadRequest("X-Forwarded-Client-Cert cannot be read.")


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value[:1] == '"' else value


def _read(certificate: x509.Certificate) -> ClientCertificate:
    """With the names that a listener would give it (`core/certificate.py`)."""
    serial = f"{certificate.serial_number:X}"
    decoded: dict[str, Any] = {
        "subject": _name(certificate.subject),
        "issuer": _name(certificate.issuer),
        "serialNumber": serial.zfill(len(serial) + len(serial) % 2),
        "notAfter": certificate.not_valid_after_utc.strftime("%b %e %H:%M:%S %Y GMT"),
        "subjectAltName": _alternative(certificate),
    }
    return client_certificate(decoded, certificate.public_bytes(Encoding.DER))


def _name(name: x509.Name) -> tuple[tuple[tuple[str, str], ...], ...]:
    return tuple(tuple((each.oid._name, _text(each.value)) for each in part) for part in name.rdns)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _alternative(certificate: x509.Certificate) -> tuple[tuple[str, str], ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    kinds = ((x509.DNSName, "DNS"), (x509.UniformResourceIdentifier, "URI"), (x509.RFC822Name, "email"))
    found = [(kind, str(each)) for of, kind in kinds for each in names.get_values_for_type(of)]
    return (*found, *(("IP Address", str(each)) for each in names.get_values_for_type(x509.IPAddress)))
