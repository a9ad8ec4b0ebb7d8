"""The login for machines without a browser, RFC 8628: a code is shown, to be typed in anywhere else."""

from __future__ import annotations

from hermes import (
    AuthenticationFailed,
    Clock,
    ConfigError,
    ConnectionFailed,
    OAuthSpec,
    Overloaded,
    RateLimited,
    StreamBroken,
)

from .browser import Person
from .tokens import Answer, OAuthServer, Tokens

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL, SLOWER = 5.0, 5.0
"""Seconds between questions where the server does not say, and what ``slow_down`` adds (section 3.5)."""
SHORTEST, LONGEST_LIFE = 1.0, 1800.0
_PASSING = (ConnectionFailed, StreamBroken, Overloaded, RateLimited)


async def log_in(server: OAuthServer, oauth: OAuthSpec, clock: Clock, person: Person, hint: str) -> Tokens:
    """Raises AuthenticationFailed: it was refused, or nobody typed the code in time."""
    if not oauth.device_url:
        raise ConfigError(f"{server.provider} has no login by a code.", hint=f"hermes auth login {server.provider}")
    fields = {"client_id": oauth.client_id, **({"scope": " ".join(oauth.scopes)} if oauth.scopes else {})}
    given = await server.post(oauth.device_url, fields, as_json=oauth.json_body)
    page = given.text("verification_uri") or given.text("verification_url")
    if given.status != 200 or given.error or not given.text("device_code") or not page:
        raise server.failure(given, "no code is given out", hint)
    person.tell(f"Open {page} in a browser, on any machine, and type in this code: {given.text('user_code')}")
    person.open_page(given.text("verification_uri_complete") or page)
    person.tell("Waiting for you to agree there …")
    answer = await _agreed(server, oauth, given, clock)
    if answer is None or answer.error == "expired_token":
        raise AuthenticationFailed(
            f"{server.provider}: the code was not typed in, in time.", provider=server.provider, hint=hint
        )
    if answer.error == "access_denied":
        raise AuthenticationFailed(f"{server.provider}: the login was refused.", provider=server.provider, hint=hint)
    return server.tokens(answer, clock.now(), "the login failed", hint)


async def _agreed(server: OAuthServer, oauth: OAuthSpec, given: Answer, clock: Clock) -> Answer | None:
    """The first answer that is neither "not yet" nor a failure that passes; None when the code's time is up."""
    interval = max(given.number("interval"), SHORTEST) if "interval" in given.body else INTERVAL
    ends = clock.monotonic() + min(given.number("expires_in") or LONGEST_LIFE, LONGEST_LIFE)
    fields = {"grant_type": GRANT, "device_code": given.text("device_code"), "client_id": oauth.client_id}
    while clock.monotonic() + interval < ends:
        await clock.sleep(interval)
        try:
            answer = await server.post(oauth.token_url, fields, as_json=oauth.json_body)
        except _PASSING:
            interval *= 2
            continue
        if answer.status >= 500 or answer.status == 429 or answer.error == "slow_down":
            interval = max(interval + SLOWER, answer.number("interval"))
        elif answer.error != "authorization_pending":
            return answer
    return None
