"""The certificates of one test cluster, made with the openssl command: an authority, the server, and its clients."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

AUTHORITY = "forescale-tests"
ADMIN = "/O=system:masters/CN=admin"
VALID_DAYS = "2"

AUTHORITY_CONFIG = """
[req]
distinguished_name = name
x509_extensions = authority
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""
EXTENSIONS = """
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = {usage}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
LOOPBACK = "subjectAltName = IP:127.0.0.1, DNS:localhost\n"


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, as files."""

    certificate: Path
    key: Path


class Certificates:
    """The authority of one cluster in a folder; every pair is made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)
        self.authority = self._authority()

    def server(self) -> Pair:
        """For a server on the loopback."""
        return self._signed("server", "/CN=kube-apiserver", EXTENSIONS.format(usage="serverAuth") + LOOPBACK)

    def client(self, subject: str) -> Pair:
        """For a client; the subject's O is its group and CN its user, as in `/O=system:masters/CN=admin`."""
        name = subject.rpartition("CN=")[2].replace(":", "-")
        return self._signed(name, subject, EXTENSIONS.format(usage="clientAuth"))

    def service_accounts(self) -> Path:
        """The key that signs the tokens of service accounts."""
        return self._key("service-accounts")

    def kubeconfig(self, server: str, subject: str = ADMIN) -> Path:
        """A kubeconfig (JSON is YAML) for one user of the server at an address."""
        pair = self.client(subject)
        file = pair.certificate.with_suffix(".kubeconfig")
        file.write_text(json.dumps(_kubeconfig(server, self.authority.certificate, pair), indent=1))
        return file

    def _authority(self) -> Pair:
        pair = Pair(self.folder / "authority.crt", self._key("authority"))
        subject = ("-subj", f"/CN={AUTHORITY}", "-days", VALID_DAYS)
        _openssl("req", "-x509", "-new", *self._named(), *subject, "-key", pair.key, "-out", pair.certificate)
        return pair

    def _signed(self, name: str, subject: str, extensions: str) -> Pair:
        pair = Pair(self.folder / f"{name}.crt", self._key(name))
        if pair.certificate.exists():
            return pair
        request = self.folder / f"{name}.csr"
        extended = ("-extfile", self._written(f"{name}.ext", extensions), "-days", VALID_DAYS)
        by = ("-CA", self.authority.certificate, "-CAkey", self.authority.key, "-CAcreateserial")
        _openssl("req", "-new", *self._named(), "-subj", subject, "-key", pair.key, "-out", request)
        _openssl("x509", "-req", "-in", request, *extended, *by, "-out", pair.certificate)
        return pair

    def _named(self) -> tuple[str, Path]:
        return "-config", self._written("authority.cnf", AUTHORITY_CONFIG)

    def _key(self, name: str) -> Path:
        file = self.folder / f"{name}.key"
        if not file.exists():
            _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", file)
        return file

    def _written(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.write_text(text)
        return file


def _kubeconfig(server: str, authority: Path, pair: Pair) -> dict[str, object]:
    user = {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": str(authority)}}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }


def _openssl(*arguments: str | Path) -> None:
    ended = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {ended.stderr.strip()}")
