"""Who calls: the actor, and the short-lived EdDSA token that says so (DESIGN 3).

Identity signs for people; a service signs for itself, alone or on behalf of the person whose call it works on; the
operator of an embedded instance signs for itself. A token names the services that it is for and the key that signed it.
Whoever receives a call verifies with public keys, so identity need not be up.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from contracts.call import Role
from contracts.event import SERVICES
from eventkit.clock import Clock
from eventkit.decider import Refused
from eventkit.secrets import OPERATOR, key_id

EVERYONE = (*SERVICES, "instance")
"""Whoever answers calls."""

LONGEST_LIFETIME_S = 3600
"""No token but the operator's own lives longer: so long a key is believed after another has followed it."""

_ALGORITHM = "Ed25519"  # EdDSA over the one curve, under the name that RFC 9864 gives it
_ALGORITHMS = [_ALGORITHM]
_KEY_ID = re.compile(r"[0-9a-f]{16}")
_REMEMBERED = 4096  # verified tokens; a signature need not be checked again for each call


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a role and its scope (a school, class, person, municipality or service), and the school that scope lies in.

    `principal` is who had signed in, where it is somebody else: the operator who acts as a director, the service that
    acts on behalf of a person.
    """

    role: Role
    scope: str | None = None
    school: str | None = None
    principal: str | None = None
    on_behalf_of: str | None = None

    def __str__(self) -> str:
        return self.role.value if self.scope is None else f"{self.role.value}:{self.scope}"

    @property
    def recorded_actor(self) -> str:
        """Who did it, as events say."""
        return self.on_behalf_of or str(self)

    @property
    def recorded_principal(self) -> str | None:
        """Who carried it out, as events say, where that was somebody else."""
        return str(self) if self.on_behalf_of else self.principal


class UnknownKey(Refused):
    """A token names a key that is not known here: it may have been published a moment ago."""


@dataclass(slots=True)
class _Key:
    """Whose key it is, and from when on (seconds since 1970) what it has signed is no longer believed."""

    issuer: str
    public: OKPKey
    not_after: float | None = None


@dataclass(frozen=True, slots=True)
class _Verified:
    actor: Actor
    expires: int | None
    key: _Key


class Tokens:
    """Signs in one issuer's name, and verifies everybody's as `receiver`, by default the issuer itself."""

    def __init__(
        self,
        issuer: str,
        key: Ed25519PrivateKey,
        public_keys: Mapping[str, Ed25519PublicKey],
        clock: Clock,
        *,
        receiver: str | None = None,
    ) -> None:
        self._issuer = issuer
        self._receiver = receiver or issuer
        self._clock = clock
        self._known: dict[str, _Key] = {}
        self._verified: OrderedDict[str, _Verified] = OrderedDict()
        for name, public in public_keys.items():
            self.learn(name, public)
        self.sign_with(key)

    def sign_with(self, key: Ed25519PrivateKey) -> None:
        self._key = OKPKey.import_key(key)  # pyright: ignore[reportArgumentType] -- joserfc takes cryptography's keys
        self._key_id = key_id(key.public_key())

    def learn(self, issuer: str, public: Ed25519PublicKey) -> None:
        """Believes from now on what an issuer signs with this key."""
        key = OKPKey.import_key(public)  # pyright: ignore[reportArgumentType] -- as above
        self._known.setdefault(key_id(public), _Key(issuer, key))

    def retire(self, issuer: str, name: str, not_after: datetime) -> None:
        """Believes from a moment on no longer what an issuer's key has signed."""
        found = self._known.get(name)
        if found is not None and found.issuer == issuer:
            found.not_after = not_after.timestamp()

    def mint(self, actor: Actor, *, lifetime_s: int | None, audience: Collection[str] = EVERYONE) -> str:
        """A token for an actor; without a lifetime it does not expire (the operator's own, which never leaves its file)."""
        if lifetime_s is not None and lifetime_s > LONGEST_LIFETIME_S:
            raise ValueError(f"a token of {lifetime_s} s outlives the key that signs it")
        claims: dict[str, Any] = {"iss": self._issuer, "aud": sorted(audience), "role": actor.role.value}
        optional = {"scope": actor.scope, "school": actor.school, "principal": actor.principal, "on_behalf_of": actor.on_behalf_of}
        claims |= {name: value for name, value in optional.items() if value is not None}
        if lifetime_s is not None:
            claims["exp"] = int(self._clock.now().timestamp()) + lifetime_s
        return jwt.encode({"alg": _ALGORITHM, "kid": self._key_id}, claims, self._key, algorithms=_ALGORITHMS)

    def verify(self, token: str) -> Actor:
        """The actor of a token.

        Raises Refused `token.invalid`, `token.audience`, `token.expired` or `token.key-retired`, and UnknownKey `token.unknown-key`.
        """
        found = self._verified.get(token)
        if found is None:
            found = self._verified[token] = self._check(token)
            while len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        now = self._clock.now().timestamp()
        if found.expires is not None and now >= found.expires:
            raise Refused("token.expired", "The token has expired. Ask identity for a new one.")
        if found.key.not_after is not None and now >= found.key.not_after:
            raise Refused("token.key-retired", f"The key that signed this token is retired. Ask {found.key.issuer} for a new one.")
        return found.actor

    def _check(self, token: str) -> _Verified:
        try:
            decoded = jwt.decode(token, lambda signed: self._key_of(signed.headers()).public, algorithms=_ALGORITHMS)
            claims, key = decoded.claims, self._key_of(decoded.header)
            audience, role = claims["aud"], Role(claims["role"])
            if claims.get("iss") != key.issuer or not isinstance(audience, list) or not _may_issue(key.issuer, role, claims.get("scope")):
                raise ValueError("these claims are not this issuer's to make")
            expires = None if key.issuer == OPERATOR and "exp" not in claims else int(claims["exp"])
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise Refused("token.invalid", "The token is not one of this instance.") from error
        if self._receiver not in audience:
            named = ", ".join(str(one) for one in cast("list[object]", audience)) or "nobody"
            raise Refused("token.audience", f"This token is for {named}, not for {self._receiver}. Ask for one for {self._receiver}.")
        actor = Actor(role, claims.get("scope"), claims.get("school"), claims.get("principal"), claims.get("on_behalf_of"))
        return _Verified(actor, expires, key)

    def _key_of(self, header: Mapping[str, Any]) -> _Key:
        name = header["kid"]
        if not isinstance(name, str) or not _KEY_ID.fullmatch(name):
            raise ValueError("no key is named like this")
        if name not in self._known:
            text = f"{self._receiver} does not know the key {name} that signed this token. Ask for a new token in a moment."
            raise UnknownKey("token.unknown-key", text, "Is it a token of another instance? `vekha doctor` tells whether the bus is read.")
        return self._known[name]


def _may_issue(issuer: str, role: Role, scope: object) -> bool:
    if OPERATOR in (issuer, role):
        return issuer == role == OPERATOR
    if role is Role.SERVICE:
        return scope == issuer
    return issuer == "identity"
