"""The PEM files of a listener: read, checked, and made into contexts. Nothing here shows what a key holds.

The bytes are kept apart from the files, so that a worker that starts while its files are broken gets what served last:
the supervisor hands it over.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway.core.listening import Listener, Tls
from gateway.core.secrets import Secret

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all good (RFC 9325 section 4.2)
SIZE_LIMIT: Final = 1_048_576  # bytes of one file
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class CertificateUnusable(Exception):
    """A file of a listener's TLS cannot be used; the text names the setting, the file and the reason."""


class Pair(NamedTuple):
    certificate: str
    key: Secret


class Material(NamedTuple):
    """The texts of a listener's files, in the order of its settings."""

    pairs: tuple[Pair, ...]
    client_ca: str | None = None

    def reveal(self) -> dict[str, Any]:
        """For the pipe of a child alone."""
        pairs = [[pair.certificate, pair.key.reveal()] for pair in self.pairs]
        return {"pairs": pairs, "client_ca": self.client_ca}

    @classmethod
    def load(cls, revealed: Mapping[str, Any]) -> Material:
        pairs = tuple(Pair(certificate, Secret(key)) for certificate, key in revealed["pairs"])
        return cls(pairs, revealed["client_ca"])


def paths(tls: Tls) -> list[Path]:
    files = [path for pair in tls.certificates for path in (pair.certificate, pair.key)]
    return [*files, tls.client_ca] if tls.client_ca is not None else files


def read(listener: Listener) -> Material:
    """CertificateUnusable."""
    tls, place = _tls(listener), _place(listener)
    pairs = tuple(
        Pair(
            _text(pair.certificate, f"{place}.certificates[{index}].certificate"),
            Secret(_text(pair.key, f"{place}.certificates[{index}].key")),
        )
        for index, pair in enumerate(tls.certificates)
    )
    return Material(pairs, _text(tls.client_ca, f"{place}.client_ca") if tls.client_ca is not None else None)


def _tls(listener: Listener) -> Tls:
    assert listener.tls is not None
    return listener.tls


def _place(listener: Listener) -> str:
    return f"listen {listener.label}: tls"


def _text(path: Path, place: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise CertificateUnusable(f"{place} {path} cannot be read: {error.strerror}.") from None
    if len(data) > SIZE_LIMIT:
        raise CertificateUnusable(f"{place} {path} is larger than {SIZE_LIMIT} bytes: it is no PEM file.")
    return data.decode("latin-1")


def contexts(listener: Listener, material: Material) -> ssl.SSLContext:
    """The first certificate's context, which changes to another's where a client names its server.
    CertificateUnusable."""
    made = [_context(listener, material, index) for index in range(len(material.pairs))]
    by_name: dict[str, ssl.SSLContext] = {}
    for context, names in reversed(made):
        by_name.update(dict.fromkeys(names, context))
    first = made[0][0]
    if len(made) > 1:
        first.sni_callback = _selecting(by_name)
    return first


def _selecting(by_name: Mapping[str, ssl.SSLContext]) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
    """RFC 6066 section 3; a wildcard stands for one label (RFC 9525 section 6.3)."""

    def select(connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        if name is None:
            return
        name = name.lower().rstrip(".")
        found = by_name.get(name) or by_name.get(f"*.{name.partition('.')[2]}")
        if found is not None:
            connection.context = found

    return select


def _context(listener: Listener, material: Material, index: int) -> tuple[ssl.SSLContext, list[str]]:
    tls, place = _tls(listener), f"{_place(listener)}.certificates[{index}]"
    files, pair = tls.certificates[index], material.pairs[index]
    names = _names(pair.certificate, f"{place}.certificate {files.certificate}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _load(context, pair, f"{place}.key {files.key}")
    if material.client_ca is not None:
        _ask_clients(context, tls, material.client_ca, f"{_place(listener)}.client_ca {tls.client_ca}")
    return context, names


def ends(listener: Listener, material: Material) -> dict[str, datetime]:
    """When each certificate expires, by its place."""
    from cryptography import x509  # a node without TLS does not load it

    found = {}
    for index, (files, pair) in enumerate(zip(_tls(listener).certificates, material.pairs, strict=True)):
        certificate = x509.load_pem_x509_certificates(pair.certificate.encode("latin-1"))[0]
        place = f"{_place(listener)}.certificates[{index}].certificate {files.certificate}"
        found[place] = certificate.not_valid_after_utc
    return found


def _names(pem: str, place: str) -> list[str]:
    """The server names that the first certificate of a chain is for."""
    from cryptography import x509
    from cryptography.x509.oid import ExtensionOID

    try:
        certificate = x509.load_pem_x509_certificates(pem.encode("latin-1"))[0]
        extension = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise CertificateUnusable(f"{place} holds no PEM certificate that can be read.") from None
    except x509.ExtensionNotFound:
        return []
    assert isinstance(extension.value, x509.SubjectAlternativeName)
    return [name.lower() for name in extension.value.get_values_for_type(x509.DNSName)]


def _load(context: ssl.SSLContext, pair: Pair, place: str) -> None:
    def encrypted() -> str:
        raise CertificateUnusable(f"{place} is encrypted. Store it without a passphrase, readable for this user only.")

    try:
        with _as_file(pair.certificate) as certificate, _as_file(pair.key.reveal()) as key:
            context.load_cert_chain(certificate, key, password=encrypted)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateUnusable(f"{place} does not belong to its certificate.") from None
        why = f" ({error.reason.replace('_', ' ').lower()})" if error.reason else ""
        raise CertificateUnusable(f"{place} cannot be used with its certificate{why}.") from None


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """OpenSSL reads keys from files only: one in memory, which nobody else can open by name."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode("latin-1"))
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _ask_clients(context: ssl.SSLContext, tls: Tls, authorities: str, place: str) -> None:
    """No session is resumed: a resumed one would not be verified against authorities that were replaced."""
    try:
        context.load_verify_locations(cadata=authorities.encode("ascii", "ignore").decode())  # comments may be UTF-8
    except (ssl.SSLError, ValueError):
        raise CertificateUnusable(f"{place} holds no PEM certificates of authorities.") from None
    context.verify_mode = ssl.CERT_REQUIRED if tls.asks_clients == "required" else ssl.CERT_OPTIONAL
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
