"""The vault: the one place that holds personal data, each person's sealed with a key of that person's own (DESIGN 2.7).

A person's key is wrapped by the instance's master key and is kept apart from the sealed details (keys.py), so destroying it makes
one person unreadable, in every backup of them. A box is AES-256-GCM under a fresh random nonce, and is
bound to its context: what was sealed for one person does not open as another's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Column, LargeBinary, MetaData, Table, Text

metadata = MetaData()

vault_table = Table(
    "vault",
    metadata,
    Column("person", Text, primary_key=True),
    Column("school", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

_NONCE_BYTES = 12
_KEY_BYTES = 32
BOX_BYTES = _NONCE_BYTES + 16
"""By how much what is sealed is longer than it was: the nonce and the tag."""

Details = Mapping[str, str]
"""A person's details by field name, e.g. last_name, birth_date (ISO); a blank one is left out."""


class Damaged(Exception):
    """A box does not open: it was changed, or it is another's."""


class Box:
    """Seals bytes under one key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, data: bytes, context: str) -> bytes:
        """The nonce, and the sealed data with their tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """The data. Raises Damaged where they are not what was sealed in this context."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise Damaged(f"what is sealed for {context} does not open") from error


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is kept of a person: the wrapped key and the details under it."""

    key: bytes
    sealed: bytes


class Vault:
    """Seals and opens people's details. It holds the master key and no details."""

    def __init__(self, master_key: bytes) -> None:
        self._master = Box(master_key)

    def seal(self, person: str, details: Details, before: Sealed | None = None) -> Sealed:
        """The details under the key that the person has already, else under a new one."""
        key = os.urandom(_KEY_BYTES) if before is None else self._master.open(before.key, person)
        wrapped = self._master.seal(key, person) if before is None else before.key
        return Sealed(wrapped, Box(key).seal(msgspec.json.encode(details), person))

    def open(self, person: str, found: Sealed) -> dict[str, str]:
        """A person's details. Raises Damaged where the row was changed or is another person's."""
        key = self._master.open(found.key, person)
        return msgspec.json.decode(Box(key).open(found.sealed, person))
