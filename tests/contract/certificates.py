"""A certificate authority for one test, made with openssl."""

import subprocess
from pathlib import Path

from tests.contract.etcd_server import Tls

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """Signs certificates for loopback; everything it makes lies in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True)
        _openssl("req", "-x509", *_NEW_KEY, "-subj", "/CN=test authority", "-days", "2", *self._files("ca"))

    @property
    def certificate(self) -> Path:
        """Who trusts this file trusts all certificates of the authority."""
        return self._directory / "ca.crt"

    def issue(self, name: str, address: str = "127.0.0.1") -> Tls:
        """Return the files of a server at the address, which a client may use as well."""
        key, request, certificate = (self._directory / f"{name}.{kind}" for kind in ("key", "csr", "crt"))
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName=IP:{address}\nextendedKeyUsage=serverAuth,clientAuth\n")
        _openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
        signer = ("-CA", str(self.certificate), "-CAkey", str(self._directory / "ca.key"), "-CAcreateserial")
        signed = ("-in", str(request), "-out", str(certificate), "-days", "2", "-extfile", str(extensions))
        _openssl("x509", "-req", *signer, *signed)
        return Tls(self.certificate, certificate, key)

    def _files(self, name: str) -> tuple[str, ...]:
        return ("-keyout", str(self._directory / f"{name}.key"), "-out", str(self._directory / f"{name}.crt"))


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=30)
