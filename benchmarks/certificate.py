"""A certificate for the rows with TLS, of an authority that nobody trusts."""

from __future__ import annotations

from pathlib import Path

import trustme


def files(folder: Path) -> tuple[Path, Path]:
    """(certificate chain, private key); made once for a folder."""
    chain, key = folder / "tls.pem", folder / "tls.key"
    if not key.exists():
        issued = trustme.CA().issue_cert("localhost", "127.0.0.1")
        chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        key.chmod(0o600)
    return chain, key
