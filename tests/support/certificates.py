"""An authority of a test's own, and a server's certificate that it signed."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """Files, readable by everybody: a server that runs as another user copies the key."""

    authority: Path
    certificate: Path
    key: Path


def signed_certificates(folder: Path, *, name: str = "IP:127.0.0.1") -> Certificates:
    """For a server that is called by this name alone."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificates(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    _openssl(*new, "-subj", "/CN=authority", "-keyout", str(folder / "authority.key"), "-out", str(made.authority))
    _openssl(
        *new, "-subj", "/CN=server", "-addext", f"subjectAltName={name}", "-addext", "basicConstraints=CA:FALSE",
        "-CA", str(made.authority), "-CAkey", str(folder / "authority.key"),
        "-keyout", str(made.key), "-out", str(made.certificate),
    )  # fmt: skip
    return made


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
