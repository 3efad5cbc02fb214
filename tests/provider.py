"""A provider of OpenID Connect of our own, as ЕСИА is one: real HTTP, real signatures, real PKCE."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
from base64 import b64decode
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from identity.openid import challenge

CLIENT, REDIRECT = "vekha", "https://portal.example/esia"


@dataclass
class Provider:
    """A provider of OpenID Connect. A test changes what it says of itself and of whoever signs in."""

    now: Callable[[], int]
    snils: str | None
    secret: str
    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    at_userinfo: bool = False
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "one"}, auto_kid=False))
    signing: ECKey | None = None
    is_down: bool = False
    other_sub: str = "oid-1"
    asked: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def published(self) -> dict[str, str]:
        places = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks", "userinfo_endpoint": "userinfo"}
        return {"issuer": self.issuer, **{name: f"{self.issuer}/{place}" for name, place in places.items()}}

    def authorize(self, query: dict[str, str]) -> str:
        """Signs a person in; answers where the browser goes next."""
        assert (query["response_type"], query["client_id"], query["redirect_uri"]) == ("code", CLIENT, REDIRECT)
        assert (query["code_challenge_method"], query["scope"]) == ("S256", "openid snils")
        code = secrets.token_urlsafe(16)
        self.asked[code] = query
        return f"{REDIRECT}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, form: dict[str, str], authorization: str) -> dict[str, str] | None:
        """Exchanges a code, once, for whoever shows the client's secret and the verifier."""
        asked = self.asked.pop(form["code"], None)
        assert b64decode(authorization.removeprefix("Basic ")).decode() == f"{CLIENT}:{self.secret}"
        if asked is None or form["redirect_uri"] != REDIRECT or challenge(form["code_verifier"]) != asked["code_challenge"]:
            return None
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "oid-1",
            "iat": self.now(),
            "exp": self.now() + 300,
            "nonce": asked["nonce"],
        }
        if self.snils is not None and not self.at_userinfo:
            claims["snils"] = self.snils
        claims = {name: value for name, value in (claims | self.claims).items() if value is not None}
        key = self.signing or self.key
        return {
            "id_token": jwt.encode({"alg": "ES256", "kid": str(key.kid)}, claims, key),
            "access_token": "opaque",
            "token_type": "Bearer",
        }


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            match address.path:
                case "/.well-known/openid-configuration":
                    self._answer(provider.published())
                case "/jwks":
                    self._answer(KeySet([provider.key]).as_dict(private=False))
                case "/userinfo":
                    assert self.headers["Authorization"] == "Bearer opaque"
                    self._answer({"sub": provider.other_sub, "snils": provider.snils})
                case _:
                    self.send_response(302)
                    self.send_header("Location", provider.authorize(flat(address.query)))
                    self.end_headers()

        def do_POST(self) -> None:
            form = flat(self.rfile.read(int(self.headers["Content-Length"])).decode())
            answer = None if provider.is_down else provider.token(form, self.headers["Authorization"])
            self._answer(answer or {"error": "invalid_grant"}, 503 if provider.is_down else 200 if answer else 400)

        def _answer(self, body: Any, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def flat(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}


@contextlib.contextmanager
def answering(provider: Provider) -> Generator[Provider]:
    """The provider on a free port of its own, in threads of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(provider))
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
