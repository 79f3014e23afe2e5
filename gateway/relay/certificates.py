"""The TLS of an upstream: whom it is verified by, and how we prove ourselves. Read when a version is built."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final, NoReturn

PEM: Final = "-----BEGIN "


@dataclass(frozen=True, slots=True)
class Tls:
    """`ca`, `certificate` and `key` are absolute paths of PEM files, or PEM text (a secret's). `verify` False takes
    any certificate."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    server_name: str | None = None
    verify: bool = True


class WrongTls(ValueError):
    """`field` is the one that is wrong. The text holds no key."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@lru_cache(maxsize=1)
def system() -> ssl.SSLContext:
    """The context that trusts whom the machine trusts. One for all: its authorities take long to read."""
    return context(Tls())


def with_text(tls: Tls) -> Tls:
    """The same with the files' text in place of their paths. Raises WrongTls."""
    ca, certificate, key = (
        None if path is None else _read(field, path)
        for field, path in (("ca", tls.ca), ("certificate", tls.certificate), ("key", tls.key))
    )
    return replace(tls, ca=ca, certificate=certificate, key=key)


def context(tls: Tls) -> ssl.SSLContext:
    """A client's context. Raises WrongTls."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    if not tls.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    elif tls.ca is None:
        made.load_default_certs()
    else:
        _trust(made, _read("ca", tls.ca))
    if tls.certificate is not None and tls.key is not None:
        _prove(made, _read("certificate", tls.certificate), _read("key", tls.key))
    return made


def _trust(made: ssl.SSLContext, pem: str) -> None:
    try:
        made.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise WrongTls("ca", f"the CA holds no certificate in PEM that can be read ({_reason(error)})") from None


def _prove(made: ssl.SSLContext, certificate: str, key: str) -> None:
    if "-----BEGIN CERTIFICATE-----" not in certificate:
        raise WrongTls("certificate", "the client certificate holds no certificate in PEM")
    if "PRIVATE KEY-----" not in key:
        raise WrongTls("key", "the key holds no private key in PEM")
    with _file(certificate) as certificate_path, _file(key) as key_path:
        try:
            made.load_cert_chain(certificate_path, key_path, password=_no_password)
        except _Encrypted:
            raise WrongTls("key", "the key is encrypted; give it decrypted, as a secret") from None
        except (ssl.SSLError, ValueError, OSError) as error:
            raise WrongTls("key", f"the certificate and the key do not work together ({_reason(error)})") from None


class _Encrypted(Exception):
    pass


def _no_password() -> NoReturn:
    """Without it OpenSSL would ask on the terminal."""
    raise _Encrypted


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or type(error).__name__


def _read(field: str, given: str) -> str:
    if PEM in given:
        return given
    path = Path(given)
    if not path.is_absolute():
        hint = "write the absolute path of a PEM file on the nodes, or a secret that holds PEM text"
        raise WrongTls(field, f"{field} is neither an absolute path nor PEM text: {hint}")
    try:
        return path.read_text("ascii")
    except (OSError, ValueError) as error:
        raise WrongTls(field, f"the {field} cannot be read ({type(error).__name__})") from None


@contextmanager
def _file(text: str) -> Iterator[str]:
    """A path for OpenSSL, which reads certificates from files only; it is in memory."""
    descriptor = os.memfd_create("penstock", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
