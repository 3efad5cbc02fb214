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
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.event import SERVICES
from eventkit.seals import Keys
from eventkit.secrets import key_id
from vekha.failures import Exit, Failure

SIGNER = "identity"

_HEX = r"[0-9a-f]"
_MOMENT = r"[0-9-]{10}T[0-9:.]{8,15}Z"
_WORDS = re.compile(
    rf"VEKHA CHECKPOINT 1 made (?P<made>{_MOMENT}) "
    + " ".join(
        rf"{service} (?P<{service}_position>[0-9]+) recorded (?P<{service}_recorded>{_MOMENT}) "
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
        key = keys.get(self.key)
        if key is None or (key.not_after is not None and self.made > key.not_after):
            return False
        try:
            key.public.verify(bytes.fromhex(self.signature), self.said())
        except InvalidSignature:
            return False
        return True


def signed(made: str, sealed: Mapping[str, Sealed], key: Ed25519PrivateKey) -> Checkpoint:
    """A checkpoint made at a moment of the instance's clock."""
    unsigned = Checkpoint(made, sealed, key_id(key.public_key()))
    return Checkpoint(made, sealed, unsigned.key, key.sign(unsigned.said()).hex())


def read(text: str) -> Checkpoint:
    """The checkpoint that stands in a page, a mail or a JSON file, whatever is around it. Raises Failure `checkpoint.unreadable`."""
    words = " ".join(re.sub(r'\\n|["\\>]', " ", text).split())
    found = _WORDS.search(words)
    if found is None:
        hint = "It is what `vekha audit checkpoint` prints, from VEKHA CHECKPOINT to the end of the signature."
        raise Failure("checkpoint.unreadable", "There is no checkpoint in it.", hint, exit_code=Exit.INVALID)
    sealed = {
        service: Sealed(found[f"{service}_log"], int(found[f"{service}_position"]), found[f"{service}_hash"], found[f"{service}_recorded"])
        for service in SERVICES
    }
    return Checkpoint(found["made"], sealed, found["key"], found["signature"].replace(" ", ""))
