"""Certificates for bus and database, from an authority of the deployment's own: nobody else's word counts among these containers.

The authority's key is needed on the day on which certificates are made anew, and kept with the administrator's secrets otherwise.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vekha.deployment.layout import DeploymentSecrets
from vekha.deployment.making import NODES
from vekha.failures import Failure

_AUTHORITY_DAYS = 3650
_SERVER_DAYS = 397
_LOCAL = ("localhost", "127.0.0.1")


def certify(secrets: DeploymentSecrets, names: Sequence[str], *, days: int = _SERVER_DAYS) -> date:
    """Makes the servers' certificates anew, and the authority where there is none; answers on which day they expire.

    Raises Failure `authority.missing` where the authority is known and its key is elsewhere, and `secrets.missing`.
    """
    if not secrets.root.is_dir():
        raise Failure("secrets.missing", f"{secrets.root} is not there.", "Type: make secrets")
    owner = secrets.root.stat()
    key, authority = _authority(secrets)
    until = datetime.now(UTC) + timedelta(days=days)
    made = {
        secrets.certificate("nats"): _server(key, authority, [*NODES, *_LOCAL, *names], until),
        secrets.certificate("postgres"): _server(key, authority, ["postgres"], until),
    }
    made |= dict.fromkeys(secrets.authorities(), authority.public_bytes(Encoding.PEM))
    for path, content in made.items():
        _keep(path, content, owner)
    return until.date()


def _authority(secrets: DeploymentSecrets) -> tuple[EllipticCurvePrivateKey, x509.Certificate]:
    known = secrets.authorities()[0]
    if known.exists():
        found = load_pem_private_key(secrets.authority_key.read_bytes(), None) if secrets.authority_key.exists() else None
        if not isinstance(found, EllipticCurvePrivateKey):
            text = f"{secrets.authority_key} is not there, and the clients believe nothing that another key has signed."
            raise Failure("authority.missing", text, "Put it back from where the administrator's secrets are kept.")
        return found, x509.load_pem_x509_certificate(known.read_bytes())
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Vekha")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    signs = x509.KeyUsage(
        key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _builder(name, name, key, datetime.now(UTC) + timedelta(days=_AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(signs, critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, SHA256())
    )
    _keep(secrets.authority_key, _pem(key), secrets.root.stat())
    return key, certificate


def _server(issuer: EllipticCurvePrivateKey, authority: x509.Certificate, names: Sequence[str], until: datetime) -> bytes:
    """A certificate for these names and addresses, and its key. The bus's nodes show it to each other, so that it is a client's, too."""
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    certificate = (
        _builder(subject, authority.subject, key, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
        .sign(issuer, SHA256())
    )
    return certificate.public_bytes(Encoding.PEM) + _pem(key)


def _builder(subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, until: datetime) -> x509.CertificateBuilder:
    a_day_ago = datetime.now(UTC) - timedelta(days=1)  # clocks of machines differ
    named = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return named.serial_number(x509.random_serial_number()).not_valid_before(a_day_ago).not_valid_after(until)


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _keep(path: Path, content: bytes, owner: os.stat_result) -> None:
    """The new content or the old one, for the owner of all secrets alone."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.chown(new, owner.st_uid, owner.st_gid)
    new.replace(path)
