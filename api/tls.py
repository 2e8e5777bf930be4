"""TLS of a door: certificate and key from files that may be renewed while it is open, and client certificates."""

import os
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from reconciler.config import TlsFiles
from reconciler.errors import ConfigError


def context(files: TlsFiles) -> ssl.SSLContext:
    """Return how a door speaks TLS, from version 1.2 up.

    Raises:
        ConfigError: a file cannot be read, everybody may read the key, or certificate and key do not fit.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    _take(files, made)
    if files.client_ca_file is not None:
        _trust(made, files.client_ca_file)
    return made


def renew(running: ssl.SSLContext, files: TlsFiles) -> None:
    """Take certificate and key anew for connections from now on.

    Raises:
        ConfigError: they cannot be used; the former ones stay.
    """
    _take(files, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), running)


def certificate_name(request: web.Request) -> str | None:
    """Return the common name of the certificate that the client showed and our authority signed, or None."""
    transport = request.transport
    shown = transport.get_extra_info("peercert") if transport is not None else None
    parts = dict(pair for part in (shown or {}).get("subject", ()) for pair in part)
    return parts.get("commonName")


def _take(files: TlsFiles, *contexts: ssl.SSLContext) -> None:
    """Load certificate and key into each context, the next one only where they were good for the one before.

    All get what was read once: files that somebody is just replacing would leave half of a pair in the last one.
    """
    _require_closed(files.key_file)
    try:
        with _copy(files.cert_file) as certificate, _copy(files.key_file) as key:
            for each in contexts:
                each.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{files.cert_file}, {files.key_file}: no certificate and its key: {error}") from error


@contextmanager
def _copy(file: Path) -> Iterator[str]:
    """Give a copy in memory under a name: OpenSSL reads certificates from files only."""
    descriptor = os.memfd_create(file.name)
    try:
        with open(descriptor, "wb", closefd=False) as copy:
            copy.write(file.read_bytes())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _require_closed(key_file: Path) -> None:
    """Refuse a key that everybody may read; a group may, for it is read again by a service that is not its owner."""
    try:
        mode = key_file.stat().st_mode
    except OSError as error:
        raise ConfigError(f"{key_file}: cannot be read: {error.strerror}") from error
    if mode & stat.S_IRWXO:
        raise ConfigError(f"{key_file}: found mode {stat.S_IMODE(mode):04o}, allowed is 0640 (chmod 0640 {key_file})")


def _trust(made: ssl.SSLContext, client_ca_file: Path) -> None:
    made.verify_mode = ssl.CERT_OPTIONAL
    try:
        made.load_verify_locations(client_ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{client_ca_file}: no certificate of an authority: {error}") from error
