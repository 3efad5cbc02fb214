"""One signed statement of where all five logs end: a page to be printed, mailed, or given to a keeper outside.

    VEKHA CHECKPOINT 1
    made      2015-09-10T12:00:00.000000Z
    roster    812 recorded 2015-09-10T11:59:58.123456Z
        log  00112233445566778899aabbccddeeff
        hash 1f…
    …
    key       0f1e2d3c4b5a6978 of identity
    signature
        a1b2…
        c3d4…

What is signed are the words, with one space between any two, so that lines may be broken anew and quoted in a mail. Identity signs: it is
the one that says who is who. Who holds such a page can tell later whether the record still goes that far, and still holds the same up to
there: cutting off the tail of a log keeps all of the log's own rules.

What is made of the record up to there, an archive or the proof of an answer, is signed with the same key where that is at hand. Where
services run apart it is not, and identity names beside the checkpoint who signs in its place (`Named`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from contracts.event import SERVICES
from eventkit.seals import Keys
from eventkit.secrets import key_id, public_bytes

SIGNER = "identity"

_HEX = r"[0-9a-f]"
_MOMENT = r"[0-9-]{10}T[0-9:.]{8,15}Z"
_WORDS = re.compile(
    rf"VEKHA CHECKPOINT 1 made (?P<made>{_MOMENT}) "
    + " ".join(
        rf"{service} (?P<{service}_position>0|[1-9][0-9]{{0,17}}) recorded (?P<{service}_recorded>{_MOMENT}) "
        rf"log (?P<{service}_log>{_HEX}+) hash (?P<{service}_hash>{_HEX}{{64}})"
        for service in SERVICES
    )
    + rf" key (?P<key>{_HEX}{{16}}) of {SIGNER} signature (?P<signature>{_HEX}{{64}} {_HEX}{{64}})"
)


@dataclass(frozen=True, slots=True)
class Sealed:
    """Where a log's last seal stood."""

    log: str
    position: int
    hash: str
    recorded_at: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The last seals of all five services, bound together under one signature."""

    made: str
    sealed: Mapping[str, Sealed]
    key: str
    signature: str = ""

    def text(self) -> str:
        """The page."""
        lines = ["VEKHA CHECKPOINT 1", f"made      {self.made}"]
        for service, at in self.sealed.items():
            lines.append(f"{service:<9} {at.position} recorded {at.recorded_at}")
            lines += [f"    log  {at.log}", f"    hash {at.hash}"]
        lines.append(f"key       {self.key} of {SIGNER}")
        if self.signature:
            lines += ["signature", f"    {self.signature[:64]}", f"    {self.signature[64:]}"]
        return "\n".join(lines) + "\n"

    def as_json(self) -> dict[str, Any]:
        sealed = {
            service: {"position": at.position, "log": at.log, "hash": at.hash, "recorded_at": at.recorded_at}
            for service, at in self.sealed.items()
        }
        return {"made": self.made, "sealed": sealed, "key": self.key, "signature": self.signature, "text": self.text()}

    def said(self) -> bytes:
        """The bytes that are signed: the page's words up to the key."""
        return " ".join(self.text().partition("signature\n")[0].split()).encode()

    def holds(self, keys: Keys) -> bool:
        """Whether it was made by who holds one of identity's keys."""
        return self.is_signed(self.signature, self.said(), keys)

    def is_signed(self, signature: str, said: bytes, keys: Keys) -> bool:
        """Whether this was signed under the key, and at the moment, of the checkpoint."""
        key = keys.get(self.key)
        return key is not None and (key.not_after is None or self.made <= key.not_after) and _holds(key.public, signature, said)


class Named(msgspec.Struct, frozen=True):
    """Identity's word that, up to a checkpoint, somebody signs in its place: whoever has this key. All of it is in hex."""

    public_key: str
    signature: str

    def signed(self, signature: str, said: bytes, checkpoint: Checkpoint, keys: Keys) -> bool:
        """Whether whoever is named has signed this, and identity has named them beside the checkpoint."""
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.public_key))
        except ValueError:
            return False
        return _holds(key, signature, said) and checkpoint.is_signed(self.signature, _naming(checkpoint, key), keys)

    @property
    def key(self) -> str:
        """The key's id."""
        return hashlib.sha256(bytes.fromhex(self.public_key)).hexdigest()[:16]


def signed(made: str, sealed: Mapping[str, Sealed], key: Ed25519PrivateKey) -> Checkpoint:
    """A checkpoint made at a moment of the instance's clock."""
    unsigned = Checkpoint(made, sealed, key_id(key.public_key()))
    return Checkpoint(made, sealed, unsigned.key, key.sign(unsigned.said()).hex())


def named(checkpoint: Checkpoint, who: Ed25519PublicKey, key: Ed25519PrivateKey) -> Named:
    """Names who signs up to a checkpoint, under the key that has signed it."""
    return Named(public_bytes(who).hex(), key.sign(_naming(checkpoint, who)).hex())


def _naming(checkpoint: Checkpoint, who: Ed25519PublicKey) -> bytes:
    return f"vekha-signer/1\n{hashlib.sha256(checkpoint.said()).hexdigest()}\n{public_bytes(who).hex()}\n".encode()


def _holds(key: Ed25519PublicKey, signature: str, said: bytes) -> bool:
    try:
        key.verify(bytes.fromhex(signature), said)
    except (InvalidSignature, ValueError):
        return False
    return True


def read(text: str) -> Checkpoint:
    """The checkpoint that stands in a page, a mail or a JSON file, whatever is around it. Raises ValueError where there is none."""
    words = " ".join(re.sub(r'\\n|["\\>]', " ", text).split())
    found = _WORDS.search(words)
    if found is None:
        raise ValueError("there is no checkpoint in it")
    sealed = {
        service: Sealed(found[f"{service}_log"], int(found[f"{service}_position"]), found[f"{service}_hash"], found[f"{service}_recorded"])
        for service in SERVICES
    }
    return Checkpoint(found["made"], sealed, found["key"], found["signature"].replace(" ", ""))
