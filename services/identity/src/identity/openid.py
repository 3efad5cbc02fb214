"""A client of OpenID Connect: the authorization code flow with PKCE, and what is believed of the answer.

What is wrong with an answer is one refusal, `esia.invalid-answer`, which quotes nothing of it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import httpx
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import SecretStr

from eventkit.clock import Clock
from eventkit.decider import Refused
from eventkit.environment import SignOn

_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"]
"""Public-key signatures alone: neither `none`, nor a secret that both ends share."""

_NEEDED = {"authorization_endpoint", "token_endpoint", "jwks_uri"}
_SCOPE = "openid snils"
_TIMEOUT_S = 5.0
_LEEWAY_S = 30
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

_SNILS = re.compile(r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{2}")

_log = structlog.get_logger(__name__)


class Provider:
    """One provider, as which it is set up. What it publishes of itself is read once, its keys again when an unknown one has signed."""

    def __init__(self, setup: SignOn, clock: Clock) -> None:
        """Raises ValueError for an issuer that is not reached by TLS, and OSError where the secret's file cannot be read."""
        address = urlsplit(setup.issuer)
        if address.scheme != "https" and address.hostname not in _LOOPBACK:
            raise ValueError(f"the issuer {setup.issuer} must begin with https://")
        self._setup = setup
        self._clock = clock
        self._secret = SecretStr(setup.client_secret_file.read_text().strip())
        self._published: Mapping[str, Any] | None = None
        self._keys: KeySet | None = None

    async def address(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where somebody signs in. Raises Refused `esia.unreachable`."""
        async with self._client() as client:
            published = await self._about_itself(client)
        query = {
            "response_type": "code",
            "client_id": self._setup.client_id,
            "redirect_uri": self._setup.redirect_uri,
            "scope": _SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
        }
        endpoint = str(published["authorization_endpoint"])
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def snils(self, code: str, *, nonce: str, verifier: str) -> str:
        """The СНИЛС of whoever has signed in. Raises Refused `esia.unreachable`, `esia.invalid-answer` or `esia.no-snils`."""
        async with self._client() as client:
            published = await self._about_itself(client)
            form = {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self._setup.redirect_uri,
                "code_verifier": verifier,
            }
            us = httpx.BasicAuth(self._setup.client_id, self._secret.get_secret_value())
            answer = await self._fetch(client, "POST", str(published["token_endpoint"]), data=form, auth=us)
            claims = await self._claims(client, str(answer.get("id_token", "")), nonce)
            found = claims.get("snils") or await self._told_apart(client, published, answer, claims)
        if not isinstance(found, str) or not _SNILS.fullmatch(found):
            raise Refused("esia.no-snils", "ЕСИА has not told a СНИЛС. Allow it to, or use the code that the school gave you.")
        return found

    async def _claims(self, client: httpx.AsyncClient, token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token, once everything about it is right (OpenID Connect Core, 3.1.3.7)."""
        try:
            decoded = await self._verified(client, token)
            now = int(self._clock.now().timestamp())
            registry = jwt.JWTClaimsRegistry(
                now=now,
                leeway=_LEEWAY_S,
                iss={"essential": True, "value": self._setup.issuer},
                aud={"essential": True, "value": self._setup.client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
            )
            registry.validate(decoded.claims)
            others = decoded.claims["aud"] not in (self._setup.client_id, [self._setup.client_id])
            if others and decoded.claims.get("azp") != self._setup.client_id:
                raise ValueError("the token is for others as well, and not issued to us")
            if not hmac.compare_digest(str(decoded.claims.get("nonce", "")).encode(), nonce.encode()):
                raise ValueError("the token belongs to another flow")
        except (JoseError, ValueError, KeyError, TypeError) as error:
            _log.warning("esia.invalid-answer", error=type(error).__name__)
            raise _invalid() from None
        return decoded.claims

    async def _verified(self, client: httpx.AsyncClient, token: str) -> jwt.Token:
        for is_fresh in (self._keys is None, True):
            if self._keys is None or is_fresh:
                published = await self._about_itself(client)
                keys = await self._fetch(client, "GET", str(published["jwks_uri"]))
                self._keys = KeySet.import_key_set(cast("Any", keys))
            try:
                return jwt.decode(token, self._keys, algorithms=_ALGORITHMS)
            except (JoseError, ValueError):
                if is_fresh:
                    raise
        raise ValueError("no key fits")

    async def _told_apart(
        self, client: httpx.AsyncClient, published: Mapping[str, Any], answer: Mapping[str, Any], claims: Mapping[str, Any]
    ) -> object:
        """The claim from where a provider tells what it does not put into tokens; of the same person."""
        if "userinfo_endpoint" not in published:
            return None
        bearer = {"Authorization": f"Bearer {answer.get('access_token', '')}"}
        told = await self._fetch(client, "GET", str(published["userinfo_endpoint"]), headers=bearer)
        if told.get("sub") != claims["sub"]:
            raise _invalid()
        return told.get("snils")

    async def _about_itself(self, client: httpx.AsyncClient) -> Mapping[str, Any]:
        if self._published is None:
            published = await self._fetch(client, "GET", f"{self._setup.issuer.rstrip('/')}/.well-known/openid-configuration")
            if published.get("issuer") != self._setup.issuer or not {"authorization_endpoint", "token_endpoint", "jwks_uri"} <= {
                *published
            }:
                raise _invalid()
            self._published = published
        return self._published

    async def _fetch(self, client: httpx.AsyncClient, method: str, url: str, **more: Any) -> Mapping[str, Any]:
        try:
            response = await client.request(method, url, **more)
        except httpx.HTTPError as error:
            _log.warning("esia.unreachable", error=type(error).__name__)
            raise _unreachable() from None
        if response.is_server_error:
            _log.warning("esia.unreachable", status=response.status_code)
            raise _unreachable()
        try:
            found = response.json()
        except ValueError:
            found = None
        if not response.is_success or not isinstance(found, dict):
            _log.warning("esia.invalid-answer", status=response.status_code)
            raise _invalid()
        return cast("Mapping[str, Any]", found)

    def _client(self) -> httpx.AsyncClient:
        # What the environment says of proxies and of passwords for hosts is not meant for this.
        return httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False)


def challenge(verifier: str) -> str:
    """PKCE's S256: shown at the beginning, while the verifier is shown at the end (RFC 7636)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _invalid() -> Refused:
    return Refused("esia.invalid-answer", "What came back from ЕСИА is not to be believed, or was used before. Begin anew.")


def _unreachable() -> Refused:
    return Refused("esia.unreachable", "ЕСИА does not answer. Try again later, or use the code that the school gave you.")
