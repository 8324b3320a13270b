"""The identity provider: Keycloak's login form, codes and tokens as `destinepyauth` speaks them."""

import html
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeyParameters, KeySet, RSAKey
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from etl.demo.faults import Faults

GROUP = "streamer-users"
"""Group whose members may ask for metadata."""

_COOKIE = "AUTH_SESSION_ID"


def _new_key(identifier: str | None = None) -> RSAKey:
    parameters: KeyParameters = {"use": "sig", "alg": "RS256"}
    if identifier is not None:
        parameters["kid"] = identifier
    return RSAKey.generate_key(2048, parameters, auto_kid=True)


@dataclass(frozen=True)
class Account:
    """The one account the provider knows."""

    user: str
    password: str
    one_time_password: str | None = None
    """Asked for after the password when given."""
    member: bool = True
    """Whether the account is in the user group."""


@dataclass(frozen=True)
class _Attempt:
    """A login form that waits for its answer."""

    session: str
    client: str
    redirect: str
    password_given: bool = False


@dataclass
class Login:
    """One realm of the provider: its routes, the tokens it issues, and their verification.

    Tokens are RS256 JWTs; the key is made at start.
    """

    url: str
    """Where the routes are mounted."""
    account: Account
    faults: Faults
    realm: str = "desp"
    token_seconds: float = 300.0
    """Lifetime of access tokens; negative for tokens that are expired from the start."""

    _key: RSAKey = field(default_factory=_new_key, repr=False)
    _attempts: dict[str, _Attempt] = field(default_factory=dict, repr=False)
    _codes: dict[str, _Attempt] = field(default_factory=dict, repr=False)
    _refresh_tokens: set[str] = field(default_factory=set, repr=False)
    _generation: int = 0

    @property
    def issuer(self) -> str:
        """The `iss` of tokens."""
        return f"{self.url}/realms/{self.realm}"

    def routes(self) -> list[BaseRoute]:
        """Return the provider's routes, relative to `url`."""
        realm = f"/realms/{self.realm}"
        protocol = f"{realm}/protocol/openid-connect"
        return [
            Route(f"{realm}/.well-known/openid-configuration", self._configuration),
            Route(f"{protocol}/certs", self._keys),
            Route(f"{protocol}/auth", self._login_page),
            Route(f"{realm}/login-actions/authenticate", self._submit, methods=["POST"]),
            Route(f"{protocol}/token", self._token, methods=["POST"]),
        ]

    def issue(self) -> str:
        """Return a new access token of the account."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "5f0c2f8e-demo",
            "aud": "account",
            "azp": "streaming-fe",
            "typ": "Bearer",
            "iat": now + min(0, int(self.token_seconds) * 2),
            "exp": now + int(self.token_seconds),
            "jti": secrets.token_hex(8),
            "preferred_username": self.account.user,
            "groups": [GROUP] if self.account.member else [],
            "generation": self._generation,
        }
        return jwt.encode({"alg": "RS256", "kid": self._key.kid}, claims, self._key)

    def revoke(self) -> None:
        """Refuse all access tokens issued so far."""
        self._generation += 1

    def verify(self, authorization: str | None) -> None:
        """Accept or refuse the `Authorization` header of a request.

        Raises:
            HTTPException: 401 without a valid token of the account, 403 outside the user group.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthorized("Not authenticated")
        try:
            claims = jwt.decode(token, self._key, algorithms=["RS256"]).claims
        except (JoseError, ValueError) as error:
            raise _unauthorized("Invalid token") from error
        if claims["exp"] <= time.time():
            raise _unauthorized("Token is expired")
        if claims["generation"] < self._generation or self.faults.always_unauthorized:
            raise _unauthorized("Token is not active")
        if GROUP not in claims["groups"] or self.faults.forbidden:
            raise HTTPException(403, f"User is not in the group {GROUP}")

    async def _configuration(self, request: Request) -> Response:
        protocol = f"{self.issuer}/protocol/openid-connect"
        endpoints = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "certs"}
        return JSONResponse(
            {"issuer": self.issuer} | {name: f"{protocol}/{path}" for name, path in endpoints.items()}
        )

    async def _keys(self, request: Request) -> Response:
        key = _new_key(self._key.kid) if self.faults.wrong_keys else self._key
        return JSONResponse(KeySet([key]).as_dict(private=False))

    async def _login_page(self, request: Request) -> Response:
        self._be_available()
        query = request.query_params
        if query.get("response_type") != "code" or not {"client_id", "redirect_uri"} <= query.keys():
            raise HTTPException(400, "Invalid parameter: client_id, redirect_uri or response_type")
        attempt = _Attempt(secrets.token_urlsafe(), query["client_id"], query["redirect_uri"])
        page = self._form(attempt, _CREDENTIAL_FIELDS)
        page.set_cookie(_COOKIE, attempt.session, httponly=True)
        return page

    async def _submit(self, request: Request) -> Response:
        self._be_available()
        attempt = self._attempts.pop(request.query_params.get("session_code", ""), None)
        if attempt is None or attempt.session != request.cookies.get(_COOKIE):
            raise HTTPException(400, "Restart login cookie not found")
        form = await _form_fields(request)
        account = self.account
        if attempt.password_given:
            if form.get("otp") != account.one_time_password:
                return self._form(
                    attempt, _error("input-error-otp-code", "Invalid authenticator code.") + _OTP_FIELD
                )
        elif (form.get("username"), form.get("password")) != (account.user, account.password):
            return self._form(
                attempt, _error("input-error", "Invalid username or password.") + _CREDENTIAL_FIELDS
            )
        elif account.one_time_password is not None:
            asked = _Attempt(attempt.session, attempt.client, attempt.redirect, password_given=True)
            return self._form(asked, _OTP_FIELD)
        code = secrets.token_urlsafe()
        self._codes[code] = attempt
        return RedirectResponse(f"{attempt.redirect}?{urlencode({'code': code, 'iss': self.issuer})}", 302)

    async def _token(self, request: Request) -> Response:
        self._be_available()
        form = await _form_fields(request)
        match form.get("grant_type"):
            case "authorization_code":
                attempt = self._codes.pop(form.get("code", ""), None)
                asked = (form.get("client_id"), form.get("redirect_uri"))
                granted = attempt is not None and asked == (attempt.client, attempt.redirect)
            case "refresh_token":
                granted = form.get("refresh_token") in self._refresh_tokens
                self._refresh_tokens.discard(form.get("refresh_token", ""))
            case _:
                return JSONResponse({"error": "unsupported_grant_type"}, 400)
        if not granted:
            return JSONResponse({"error": "invalid_grant", "error_description": "Code not valid"}, 400)
        refresh_token = secrets.token_urlsafe()
        self._refresh_tokens.add(refresh_token)
        answer: dict[str, Any] = {
            "access_token": self.issue(),
            "expires_in": int(self.token_seconds),
            "refresh_token": refresh_token,
            "token_type": "Bearer",
        }
        return JSONResponse(answer)

    def _be_available(self) -> None:
        if self.faults.take("login_unavailable"):
            raise HTTPException(503, "The login service is not available")

    def _form(self, attempt: _Attempt, fields: str) -> HTMLResponse:
        code = secrets.token_urlsafe()
        self._attempts[code] = attempt
        query = urlencode({"session_code": code, "client_id": attempt.client})
        action = html.escape(f"{self.issuer}/login-actions/authenticate?{query}")
        return HTMLResponse(
            "<!DOCTYPE html><html><head><title>Sign in</title></head><body>"
            f'<form id="kc-form-login" action="{action}" method="post">{fields}'
            '<input type="submit" name="login" value="Sign In"></form></body></html>'
        )


_CREDENTIAL_FIELDS = '<input name="username" type="text"><input name="password" type="password">'
_OTP_FIELD = '<input name="otp" type="text" autocomplete="one-time-code">'


def _error(identifier: str, message: str) -> str:
    return f'<span id="{identifier}">{message}</span>'


async def _form_fields(request: Request) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs((await request.body()).decode()).items()}


def _unauthorized(detail: str) -> HTTPException:
    return HTTPException(401, detail, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
