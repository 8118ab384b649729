"""An OIDC provider on loopback for tests: discovery, a page to choose who signs in, tokens signed with RS256.

It refuses what a real one refuses: an unknown client or address, a code used twice, a wrong PKCE verifier.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import Request

CLIENT_ID, CLIENT_SECRET = "gradequeue", "secret of the client"


@dataclass
class OidcProvider:
    """Who can sign in, by name: their claims."""

    url: str
    redirect_uri: str
    people: Mapping[str, Mapping[str, object]]
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "k1", "use": "sig"}))
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    """Why a request got no token."""

    def secrets_file(self) -> str:
        """Streamlit's `[auth]` section for this provider."""
        return (
            "[auth]\n"
            f'redirect_uri = "{self.redirect_uri}"\n'
            f'cookie_secret = "{secrets.token_hex(16)}"\n'
            f'client_id = "{CLIENT_ID}"\n'
            f'client_secret = "{CLIENT_SECRET}"\n'
            f'server_metadata_url = "{self.url}/.well-known/openid-configuration"\n'
        )

    def app(self) -> Starlette:
        """The provider's addresses."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._metadata),
                Route("/authorize", self._authorize),
                Route("/choose", self._choose),
                Route("/token", self._token, methods=["POST"]),
                Route("/keys", self._keys),
            ]
        )

    def _metadata(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        if asked.get("client_id") != CLIENT_ID or asked.get("redirect_uri") != self.redirect_uri:
            return self._refuse("unknown client or address")
        links = (f'<a href="/choose?{urlencode({**asked, "who": who})}">{who}</a>' for who in self.people)
        return HTMLResponse(f"<h1>Sign in as</h1>{'<br>'.join(links)}")

    def _choose(self, request: Request) -> Response:
        asked = dict(request.query_params)
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")

    async def _token(self, request: Request) -> Response:
        sent = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        asked = self.codes.pop(sent.get("code", ""), None)
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {basic}" and sent.get("client_secret") != CLIENT_SECRET:
            return self._refuse("wrong secret")
        if asked is None or sent.get("redirect_uri") != asked["redirect_uri"]:
            return self._refuse("unknown code or another address")
        digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != asked.get("code_challenge"):
            return self._refuse("wrong verifier")
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": CLIENT_ID, "sub": asked["who"], "iat": now, "exp": now + 600,
            "nonce": asked["nonce"], **self.people[asked["who"]],
        }  # fmt: skip
        signed = jwt.encode({"alg": "RS256", "kid": "k1"}, claims, self.key)
        return JSONResponse({"access_token": "unused", "token_type": "Bearer", "expires_in": 600, "id_token": signed})

    def _keys(self, _request: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    def _refuse(self, why: str) -> Response:
        self.refused.append(why)
        return JSONResponse({"error": "invalid_request", "error_description": why}, status_code=400)


@contextmanager
def oidc_provider(*, port: int, page_url: str, people: Mapping[str, Mapping[str, object]]) -> Iterator[OidcProvider]:
    """The provider in a thread of its own, for the page at this address."""
    provider = OidcProvider(url=f"http://127.0.0.1:{port}", redirect_uri=f"{page_url}/oauth2callback", people=people)
    server = uvicorn.Server(uvicorn.Config(provider.app(), port=port, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, "the provider answers")
        yield provider
    finally:
        server.should_exit = True
        thread.join()
