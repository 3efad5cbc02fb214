"""Who calls: the actor, and the short-lived EdDSA token that says so (DESIGN 3).

Identity signs for people; a service signs for itself, alone or on behalf of the person whose call it works on; the
operator of an embedded instance signs for itself. Whoever receives a call verifies with public keys, so identity need
not be up.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from contracts.call import Role
from eventkit.clock import Clock
from eventkit.decider import Refused
from eventkit.secrets import OPERATOR

_AUDIENCE = "vekha"
_ALGORITHM = "Ed25519"  # EdDSA over the one curve, under the name that RFC 9864 gives it
_ALGORITHMS = [_ALGORITHM]
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


class Tokens:
    """Signs in one issuer's name, and verifies everybody's."""

    def __init__(self, issuer: str, key: Ed25519PrivateKey, public_keys: Mapping[str, Ed25519PublicKey], clock: Clock) -> None:
        self._issuer = issuer
        self._clock = clock
        self._key = OKPKey.import_key(key)  # pyright: ignore[reportArgumentType] -- joserfc takes cryptography's keys
        self._public = {name: OKPKey.import_key(public) for name, public in public_keys.items()}  # pyright: ignore[reportArgumentType] -- as above
        self._verified: OrderedDict[str, tuple[Actor, int | None]] = OrderedDict()

    def mint(self, actor: Actor, *, lifetime_s: int | None) -> str:
        """A token for an actor; without a lifetime it does not expire (the operator's own, which never leaves its file)."""
        claims: dict[str, Any] = {"iss": self._issuer, "aud": _AUDIENCE, "role": actor.role.value}
        optional = {"scope": actor.scope, "school": actor.school, "principal": actor.principal, "on_behalf_of": actor.on_behalf_of}
        claims |= {name: value for name, value in optional.items() if value is not None}
        if lifetime_s is not None:
            claims["exp"] = int(self._clock.now().timestamp()) + lifetime_s
        return jwt.encode({"alg": _ALGORITHM, "kid": self._issuer}, claims, self._key, algorithms=_ALGORITHMS)

    def verify(self, token: str) -> Actor:
        """The actor of a token. Raises Refused `token.invalid` or `token.expired`."""
        found = self._verified.get(token)
        if found is None:
            found = self._verified[token] = self._check(token)
            while len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        actor, expires = found
        if expires is not None and self._clock.now() >= datetime.fromtimestamp(expires, self._clock.now().tzinfo):
            raise Refused("token.expired", "The token has expired. Ask identity for a new one.")
        return actor

    def _check(self, token: str) -> tuple[Actor, int | None]:
        try:
            decoded = jwt.decode(token, lambda signed: self._public[str(signed.headers()["kid"])], algorithms=_ALGORITHMS)
            claims = decoded.claims
            issuer, role = str(decoded.header["kid"]), Role(claims["role"])
            if claims.get("iss") != issuer or claims.get("aud") != _AUDIENCE or not _may_issue(issuer, role, claims.get("scope")):
                raise ValueError("these claims are not this issuer's to make")
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise Refused("token.invalid", "The token is not one of this instance.") from error
        expires = claims.get("exp")
        actor = Actor(role, claims.get("scope"), claims.get("school"), claims.get("principal"), claims.get("on_behalf_of"))
        return actor, None if expires is None else int(expires)


def _may_issue(issuer: str, role: Role, scope: object) -> bool:
    if OPERATOR in (issuer, role):
        return issuer == role == OPERATOR
    if role is Role.SERVICE:
        return scope == issuer
    return issuer == "identity"
