"""The login by a browser, RFC 7636: it comes back to this machine, or shows a text that the person pastes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from contextlib import AsyncExitStack
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from hermes import AuthenticationFailed, Clock, ConfigError, OAuthSpec

from .browser import Person, pasted_line
from .landing import Landed, LandingPage, landed
from .tokens import LOOPBACK, OAuthServer, Tokens

PATIENCE = 600.0


class Proof(NamedTuple):
    """``verifier`` stays here until the code is redeemed; whoever else gets the code cannot use it."""

    verifier: str
    state: str

    @property
    def challenge(self) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


async def log_in(server: OAuthServer, oauth: OAuthSpec, clock: Clock, person: Person, hint: str) -> Tokens:
    """Raises AuthenticationFailed: it was refused, what was pasted is wrong, or nobody came back in time."""
    if not oauth.authorize_url:
        raise ConfigError(f"{server.provider} has no login by a browser.", hint=f"hermes auth login {server.provider}")
    proof = Proof(secrets.token_urlsafe(48), secrets.token_urlsafe(24))
    ours = not oauth.redirect_url or urlsplit(oauth.redirect_url).hostname in LOOPBACK
    try:
        async with asyncio.timeout(PATIENCE):
            come = _to_this_machine if ours else _to_their_page
            found, redirect = await come(oauth, proof, person)
    except TimeoutError:
        raise AuthenticationFailed(
            f"{server.provider}: nobody came back from the browser.", provider=server.provider, hint=hint
        ) from None
    if found is None or not found.code:
        why = "what was pasted is not the answer to this login" if found is None else found.sentence or found.error
        raise AuthenticationFailed(
            f"{server.provider}: the login failed: {why[:300]}.", provider=server.provider, hint=hint
        )
    fields = {
        "grant_type": "authorization_code",
        "code": found.code,
        "redirect_uri": redirect,
        "client_id": oauth.client_id,
        "code_verifier": proof.verifier,
        **({} if ours else {"state": proof.state}),
    }
    answer = await server.post(oauth.token_url, fields, as_json=oauth.json_body)
    return server.tokens(answer, clock.now(), "the login failed", hint)


async def _to_this_machine(oauth: OAuthSpec, proof: Proof, person: Person) -> tuple[Landed | None, str]:
    """Waits for the browser; the address it ends at may be pasted as well, where it runs on another machine."""
    wanted = urlsplit(oauth.redirect_url)
    page = LandingPage(wanted.path if oauth.redirect_url else "/callback", proof.state)
    async with AsyncExitStack() as stack:
        redirect = oauth.redirect_url
        try:
            port = await stack.enter_async_context(page.open((wanted.port or 80) if redirect else 0))
            redirect = redirect or f"http://127.0.0.1:{port}/callback"
        except OSError as error:
            if not redirect:
                raise
            person.tell(f"Port {wanted.port} of this machine cannot be used ({error.strerror}).")
        _show(oauth, proof, redirect, person)
        person.tell("Waiting for the browser. Is it on another machine? Then paste the address that it ends at here.")
        pasting = asyncio.create_task(pasted_line())
        try:
            await asyncio.wait((pasting, page.arrival), return_when=asyncio.FIRST_COMPLETED)
            if not page.arrival.done() and not pasting.result():
                await page.arrival  # nobody can paste anything
            found = page.arrival.result() if page.arrival.done() else _pasted(pasting.result(), proof.state)
            return found, redirect
        finally:
            pasting.cancel()


async def _to_their_page(oauth: OAuthSpec, proof: Proof, person: Person) -> tuple[Landed | None, str]:
    _show(oauth, proof, oauth.redirect_url, person)
    person.tell("Then paste here what the last page shows (code#state):")
    return _pasted(await pasted_line(), proof.state), oauth.redirect_url


def _show(oauth: OAuthSpec, proof: Proof, redirect: str, person: Person) -> None:
    asked = {
        **oauth.authorize_params,
        "response_type": "code",
        "client_id": oauth.client_id,
        "redirect_uri": redirect,
        **({"scope": " ".join(oauth.scopes)} if oauth.scopes else {}),
        "code_challenge": proof.challenge,
        "code_challenge_method": "S256",
        "state": proof.state,
    }
    separator = "&" if urlsplit(oauth.authorize_url).query else "?"
    url = f"{oauth.authorize_url}{separator}{urlencode(asked)}"
    person.tell(f"Open this page and agree:\n\n{url}\n")
    person.open_page(url)


def _pasted(text: str, state: str) -> Landed | None:
    """``code#state``, or the whole address of the last page."""
    if "://" in text:
        return landed(urlsplit(text).query, state)
    code, _, carried = text.partition("#")
    return Landed(code) if code and secrets.compare_digest(carried.encode(), state.encode()) else None
