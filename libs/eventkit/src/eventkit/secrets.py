"""The secrets of an instance: a folder that only its owner can read, made once at the first start (DESIGN 3).

Everything symmetric is derived from one master key, a key for each purpose; everybody who signs has an Ed25519 key of
their own. A secret that is missing later stops the start: making a new one in silence would make what the old one
sealed unreadable.

A service in a process of its own has a folder of its own (`make_apart`): a master key that no other service has, its
own signing key, and of the others the public ones alone. It may not write there; the key that a rotation makes stands in another folder.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets as randomness
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import SecretBytes

from contracts.event import SERVICES

OPERATOR = "operator"
ISSUERS = (*SERVICES, OPERATOR)
"""Who signs tokens: the five services, and the operator of an embedded instance."""

_MASTER = "master.key"
_BROKER = "broker.password"
_KEY_BYTES = 32


AUTHORITY = "ca.pem"
"""The file beside a client's secrets that says by whom the servers' certificates are issued. Where it stands, servers have to show one."""


class SecretMissing(RuntimeError):
    """A secret that was made at the first start is gone, or damaged."""


class Secrets:
    """Reads an instance's secrets from its folder; `make` makes them once."""

    def __init__(self, folder: Path, *, of: str | None = None, rotated: Path | None = None) -> None:
        """All of an instance's secrets, or those `of` one service apart. Keys of rotations stand there too, or in the folder `rotated`."""
        self.folder = folder
        self._rotated = rotated or folder
        missing = [name for name in (_names() if of is None else _names_apart(of)) if not (folder / name).is_file()]
        if missing:
            raise SecretMissing(f"{folder} lacks {', '.join(missing)}. Put the file back from where the instance's secrets are kept.")
        self._master = SecretBytes(_key(folder / _MASTER))
        self._keys: dict[str, SecretBytes] = {}

    @classmethod
    def make(cls, folder: Path) -> Secrets:
        """Makes every secret of a new instance. Raises FileExistsError where there are some already."""
        folder.mkdir(mode=0o700, parents=True)
        _write(folder / _MASTER, randomness.token_bytes(_KEY_BYTES))
        _write(folder / _BROKER, randomness.token_bytes(24))
        for issuer in ISSUERS:
            _write(folder / _signing(issuer), _raw(Ed25519PrivateKey.generate()))
        return cls(folder)

    @staticmethod
    def make_apart(folders: Mapping[str, Path]) -> None:
        """Makes the secrets of services apart, each in its own folder. Raises FileExistsError where there are some already.

        The operator's folder holds a signing key and no master key: it seals nothing.
        """
        keys = {issuer: Ed25519PrivateKey.generate() for issuer in folders}
        for issuer, folder in folders.items():
            folder.mkdir(mode=0o700, parents=True)
            if issuer != OPERATOR:
                _write(folder / _MASTER, randomness.token_bytes(_KEY_BYTES))
            _write(folder / _signing(issuer), _raw(keys[issuer]))
            for other in folders:
                _write(folder / _public(other), public_bytes(keys[other].public_key()))

    @staticmethod
    def known(folder: Path) -> dict[str, Ed25519PublicKey]:
        """By issuer, the public key that each began with, from the folder of anybody apart."""
        return {issuer: Ed25519PublicKey.from_public_bytes(_key(folder / _public(issuer))) for issuer in ISSUERS}

    @staticmethod
    def key_of(folder: Path, issuer: str) -> Ed25519PrivateKey:
        """An issuer's signing key, from a folder that holds it."""
        return Ed25519PrivateKey.from_private_bytes(_key(folder / _signing(issuer)))

    def key(self, purpose: str) -> bytes:
        """A key of 32 bytes for one purpose, always the same one in this instance."""
        if purpose not in self._keys:
            derivation = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=f"vekha/{purpose}".encode())
            self._keys[purpose] = SecretBytes(derivation.derive(self._master.get_secret_value()))
        return self._keys[purpose].get_secret_value()

    def mac(self, purpose: str, data: bytes) -> str:
        """HMAC-SHA256 in hex under the purpose's key: tells equal from different, and nothing to who lacks the key."""
        return hmac.digest(self.key(purpose), data, "sha256").hex()

    @property
    def broker_password_file(self) -> Path:
        return self.folder / _BROKER

    def signing_key(self, issuer: str) -> Ed25519PrivateKey:
        rotated = self._rotated / _signing(issuer)
        return Ed25519PrivateKey.from_private_bytes(_key(rotated if rotated.is_file() else self.folder / _signing(issuer)))

    def next_signing_key(self, issuer: str) -> Ed25519PrivateKey | None:
        """The key that an issuer is about to sign with, where a rotation has made one."""
        path = self._rotated / _next(issuer)
        return Ed25519PrivateKey.from_private_bytes(_key(path)) if path.is_file() else None

    def make_next_signing_key(self, issuer: str) -> Ed25519PrivateKey:
        """A new key to sign with; a rotation that was cut off goes on with the one that it had made."""
        if (found := self.next_signing_key(issuer)) is not None:
            return found
        key = Ed25519PrivateKey.generate()
        unfinished = self._rotated / f"{_next(issuer)}.tmp"
        unfinished.unlink(missing_ok=True)
        _write(unfinished, _raw(key))
        unfinished.replace(self._rotated / _next(issuer))
        return key

    def change_signing_key(self, issuer: str) -> None:
        """Puts the next key in the place of the one that it follows, which is gone then."""
        (self._rotated / _next(issuer)).replace(self._rotated / _signing(issuer))
        _sync(self._rotated)

    def public_keys(self) -> dict[str, Ed25519PublicKey]:
        """By issuer, the key that each began with, or the one that it signs with now where that is known here."""
        return {issuer: self._public_key(issuer) for issuer in ISSUERS}

    def _public_key(self, issuer: str) -> Ed25519PublicKey:
        if (self.folder / _signing(issuer)).is_file():
            return self.signing_key(issuer).public_key()
        return Ed25519PublicKey.from_public_bytes(_key(self.folder / _public(issuer)))


def public_bytes(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def key_id(key: Ed25519PublicKey) -> str:
    """The name of a key, by which tokens say who signed them."""
    return hashlib.sha256(public_bytes(key)).hexdigest()[:16]


def _names() -> list[str]:
    return [_MASTER, _BROKER, *(_signing(issuer) for issuer in ISSUERS)]


def _names_apart(service: str) -> list[str]:
    return [_MASTER, _signing(service), *(_public(issuer) for issuer in ISSUERS)]


def _public(issuer: str) -> str:
    return f"signing-{issuer}.public"


def _signing(issuer: str) -> str:
    return f"signing-{issuer}.key"


def _next(issuer: str) -> str:
    return f"signing-{issuer}.next"


def _raw(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def _key(path: Path) -> bytes:
    try:
        key = base64.b64decode(path.read_bytes().strip(), altchars=b"-_", validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        # A file that was cut short must not quietly become another key.
        raise SecretMissing(f"{path} is damaged. Put the file back from where the instance's secrets are kept.")
    return key


def _write(path: Path, value: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(base64.urlsafe_b64encode(value).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
