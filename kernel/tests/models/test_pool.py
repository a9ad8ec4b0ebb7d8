"""Several keys of a provider: which is used, which rest, and whose they are."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hermes import (
    AnyEvent,
    App,
    AuthenticationFailed,
    ConfigError,
    ConnectionFailed,
    ModelRequest,
    NotEntitled,
    OAuthSpec,
    ProviderError,
    ProviderSpec,
    Provision,
    RateLimited,
    RefreshRequest,
    StoredCredential,
    TurnFinished,
    hookimpl,
)
from hermes.models.credentials import Credentials
from hermes.models.pool import Credential, Pools, Rests
from hermes.models.vault import Vault
from hermes.plugins.manifest import Manifest
from hermes_testkit.scripted import Reply, ScriptedModel, SetClock, collect, make_app, say

OAUTH = {"flow": "device", "client_id": "c", "token_url": "https://logins.example/token"}


class Acme:
    """``acme`` has keys, ``vertex`` stands behind it."""

    name = "acme"
    manifest = Manifest(
        name="acme",
        provides={
            "providers": {
                "acme": {"transport": "scripted", "models": ["m"], "key_env": ["ACME_KEY"], "priority": 1,
                         "base_url": "https://acme.example", "oauth": OAUTH},
                "vertex": {"transport": "scripted", "models": ["v"], "key_env": ["VERTEX_KEY"]},
            }
        },
    )  # fmt: skip


class Refusing:
    """A model whose server refuses some keys. ``asked`` are the keys it saw, in order."""

    def __init__(self, refused: Mapping[str, ProviderError]) -> None:
        self.refused = dict(refused)
        self.asked: list[str] = []

    def __call__(self, request: ModelRequest) -> Reply:
        self.asked.append(request.endpoint.key)
        error = self.refused.get(request.endpoint.key)
        return [error] if error else say(f"by {request.endpoint.provider} with {request.endpoint.key}")


def limited(retry_after: float | None = None) -> RateLimited:
    return RateLimited("429 slow down", retry_after=retry_after)


def pooled(home: Path, model: Refusing, keys: int, *plugins: Any, clock: SetClock | None = None, **more: Any) -> App:
    """``acme`` with that many keys, ``k1``, ``k2``, …, and a fallback to ``vertex``."""
    overrides = {"model": {"provider": "acme"}, "fallback_providers": ["vertex:v"], **more.pop("overrides", {})}
    app = make_app(
        home,
        Acme(),
        *plugins,
        model=ScriptedModel(model),
        environ={"VERTEX_KEY": "vk", **more.pop("environ", {})},
        overrides=overrides,
        clock=clock or SetClock(),
        **more,
    )
    for number in range(1, keys + 1):
        app.vault.put(StoredCredential(id=f"id{number}", provider="acme", secret=f"k{number}"))
    return app


def talk(app: App, *texts: str, **options: Any) -> list[TurnFinished]:
    """How each turn of one conversation ended."""

    async def work() -> list[TurnFinished]:
        async with app:
            conversation = await app.conversation(**options)
            return [ended(await collect(conversation.send(text))) for text in texts]

    return asyncio.run(work())


def ended(events: list[AnyEvent]) -> TurnFinished:
    assert isinstance(events[-1], TurnFinished)
    return events[-1]


def test_without_a_pool_a_rate_limit_falls_back_at_once(tmp_path: Path) -> None:
    model, clock = Refusing({"ek": limited(30)}), SetClock()
    began = clock.now()
    (turn,) = talk(pooled(tmp_path, model, 0, clock=clock, environ={"ACME_KEY": "ek"}), "hi")
    assert (turn.text, model.asked, clock.now()) == ("by vertex with vk", ["ek", "vk"], began)


def test_a_single_key_that_works_is_used(tmp_path: Path) -> None:
    model = Refusing({})
    (turn,) = talk(pooled(tmp_path, model, 1), "hi")
    assert (turn.text, model.asked) == ("by acme with k1", ["k1"])


def test_a_single_key_never_rests_and_never_waits_for_itself(tmp_path: Path) -> None:
    """The fallback answers while the limit lasts, and the key is tried again with each turn."""
    model, clock = Refusing({"k1": limited(3600)}), SetClock()
    app, began = pooled(tmp_path, model, 1, clock=clock), clock.now()
    first, second = talk(app, "hi", "again")
    assert model.asked == ["k1", "vk", "k1", "vk"]
    assert (first.text, second.text, clock.now()) == ("by vertex with vk",) * 2 + (began,)
    assert app.router.credentials.pools.rests.of("id1") is None


def test_a_key_that_rested_among_others_is_used_when_it_is_alone(tmp_path: Path) -> None:
    app = pooled(tmp_path, Refusing({}), 2)
    app.router.credentials.pools.rests.lay("id1", 3600, "429")
    app.vault.remove("id2")
    (turn,) = talk(app, "hi")
    assert turn.text == "by acme with k1"


def test_two_keys_rotate_before_anything_falls_back(tmp_path: Path) -> None:
    model = Refusing({"k1": limited(3600)})
    first, second = talk(pooled(tmp_path, model, 2), "hi", "again")
    assert (first.text, second.text) == ("by acme with k2",) * 2
    assert model.asked == ["k1", "k2", "k2"], "the first rests"


def test_when_all_keys_rest_the_fallback_answers_at_once_and_the_primary_returns(tmp_path: Path) -> None:
    """The next turn does not ask the keys that rest; when the first is back, it does."""
    model, clock = Refusing({"k1": limited(600), "k2": limited(900)}), SetClock()
    app = pooled(tmp_path, model, 2, clock=clock)

    async def work() -> tuple[list[TurnFinished], str]:
        async with app:
            conversation = await app.conversation()
            turns = [ended(await collect(conversation.send(text))) for text in ("one", "two")]
            clock.advance(601)
            model.refused.clear()
            turns.append(ended(await collect(conversation.send("three"))))
            record = await app.find_session(conversation.id)
            return turns, f"{record.provider}:{record.model}"

    turns, stored = asyncio.run(work())
    assert [turn.text for turn in turns] == ["by vertex with vk", "by vertex with vk", "by acme with k1"]
    assert model.asked == ["k1", "k2", "vk", "vk", "k1"]
    assert stored == "acme:m", "the fallback is not the session's model"


def test_when_all_keys_rest_and_there_is_no_fallback_it_says_until_when(tmp_path: Path) -> None:
    model = Refusing({"k1": limited(600), "k2": limited(900)})
    app = pooled(tmp_path, model, 2, overrides={"fallback_providers": []})
    _, second = talk(app, "one", "two")
    assert second.error is not None
    assert (second.error.kind, second.error.retry_after) == ("RateLimited", 600)
    assert "all 2 keys rest" in second.error.message
    assert "hermes auth reset acme" in second.error.hint
    assert model.asked == ["k1", "k2"]


def test_a_rest_that_is_nearly_over_is_waited_for(tmp_path: Path) -> None:
    model, clock = Refusing({}), SetClock()
    app = pooled(tmp_path, model, 2, clock=clock, overrides={"fallback_providers": []})
    for name, seconds in (("id1", 20), ("id2", 500)):
        app.router.credentials.pools.rests.lay(name, seconds, "429")
    began = clock.now()
    (turn,) = talk(app, "hi")
    assert (turn.text, clock.now() - began) == ("by acme with k1", 20)


def test_many_keys_rotate_until_one_works(tmp_path: Path) -> None:
    model = Refusing({f"k{number}": limited() for number in (1, 2, 3)})
    (turn,) = talk(pooled(tmp_path, model, 5), "hi")
    assert (turn.text, model.asked) == ("by acme with k4", ["k1", "k2", "k3", "k4"])


def test_a_chain_of_fallbacks_is_gone_down_in_order(tmp_path: Path) -> None:
    """A daily limit of a single key, as of Gemini's logins: through Vertex to whatever stands behind it."""
    model = Refusing({"k1": limited(86_400), "vk": limited(86_400)})
    app = pooled(tmp_path, model, 1, overrides={"fallback_providers": ["vertex:v", "scripted:model-2"]})
    (turn,) = talk(app, "hi")
    assert (turn.text, model.asked) == ("by scripted with ", ["k1", "vk", ""])


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (limited(7200), 7200),
        (limited(), 60),
        (NotEntitled("402", status=402), 86_400),
        (AuthenticationFailed("401"), 86_400),
    ],
)
def test_a_key_rests_as_long_as_the_provider_says_or_as_its_fault_deserves(
    tmp_path: Path, error: ProviderError, seconds: float
) -> None:
    clock = SetClock()
    app = pooled(tmp_path, Refusing({"k1": error}), 2, clock=clock)
    talk(app, "hi")
    rest = app.router.credentials.pools.rests.of("id1")
    assert rest is not None
    assert (rest.until - clock.now(), rest.reason) == (seconds, str(error))


KEYS = [Credential(f"k{number}", "auth", f"id{number}") for number in (1, 2, 3)]


def chosen(tmp_path: Path, strategy: Any, times: int, jitter: Callable[[], float] = lambda: 0.5) -> list[str]:
    """The keys of so many calls, the second of three resting from the fourth on."""
    pools = Pools(Rests(tmp_path / "rests.json", SetClock()), jitter)
    found = []
    for number in range(times):
        if number == 3:
            pools.rests.lay("id2", 60, "429")
        key = pools.choose("acme", KEYS, strategy)
        assert key is not None
        found.append(key.key)
    return found


def test_the_first_that_works_fills_first(tmp_path: Path) -> None:
    assert chosen(tmp_path, "fill_first", 5) == ["k1"] * 5


def test_each_has_its_turn(tmp_path: Path) -> None:
    assert chosen(tmp_path, "round_robin", 7, lambda: 0.0) == ["k1", "k2", "k3", "k1", "k3", "k1", "k3"]
    assert chosen(tmp_path / "b", "round_robin", 3, lambda: 0.5) == ["k2", "k3", "k1"], "a new process begins anywhere"


def test_any_is_taken_at_random(tmp_path: Path) -> None:
    numbers = iter((0.99, 0.0, 0.5, 0.99, 0.0, 1.0))
    assert chosen(tmp_path, "random", 6, lambda: next(numbers)) == ["k3", "k1", "k2", "k3", "k1", "k3"]


def test_the_one_used_least_is_taken(tmp_path: Path) -> None:
    assert chosen(tmp_path, "least_used", 8) == ["k1", "k2", "k3", "k1", "k3", "k1", "k3", "k1"]


def test_the_settings_name_a_strategy_for_each_provider(tmp_path: Path) -> None:
    model = Refusing({})
    talk(
        pooled(
            tmp_path, model, 2, jitter=lambda: 0.0, overrides={"credential_pool_strategies": {"acme": "round_robin"}}
        ),
        "a",
        "b",
        "c",
    )
    assert model.asked == ["k1", "k2", "k1"]


def run(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Python that uses the kernel, in a process of its own."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


LAY = """
import sys
from pathlib import Path
from hermes import Clock
from hermes.models.pool import Rests
rests = Rests(Path(sys.argv[1]), Clock())
print("ready", flush=True)
sys.stdin.readline()
for number in range(50):
    rests.lay(f"{sys.argv[2]}{number}", 3600, "429")
"""

ADD = """
import sys
from pathlib import Path
from hermes import StoredCredential
from hermes.models.vault import Vault
vault = Vault(Path(sys.argv[1]), Path(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[4])):
    vault.put(StoredCredential(id=f"{sys.argv[3]}{number}", provider="acme", secret="s" * 2000))
    print(number, flush=True)
"""


def start_together(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def test_rests_are_shared_by_processes_and_none_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "run" / "rests.json"
    mine = Rests(file, SetClock(0))
    assert mine.of("a1") is None
    processes = [run(LAY, str(file), name) for name in "ab"]
    start_together(*processes)
    for process in processes:
        process.communicate(timeout=60)
    found = [name for name in (f"{letter}{number}" for letter in "ab" for number in range(50)) if mine.of(name)]
    assert len(found) == 100, "this process sees all that the two have laid down"


def test_two_processes_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    processes = [run(ADD, str(file), str(tmp_path / "run"), name, "40") for name in "ab"]
    start_together(*processes)
    for process in processes:
        process.communicate(timeout=60)
    entries = Vault(file, tmp_path / "run").all()
    assert {entry.id for entry in entries} == {f"{letter}{number}" for letter in "ab" for number in range(40)}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_writer_that_is_killed_loses_nothing_it_has_told_of(tmp_path: Path) -> None:
    file, told = tmp_path / "auth.json", 0
    for name in "abc":
        process = run(ADD, str(file), str(tmp_path / "run"), name, "100000")
        start_together(process)
        assert process.stdout is not None
        for _ in range(10):
            told = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        vault = Vault(file, tmp_path / "run")
        assert {f"{name}{number}" for number in range(told + 1)} <= {entry.id for entry in vault.all()}
        vault.put(StoredCredential(id=f"after-{name}", provider="acme"))
        assert vault.all()[-1].id == f"after-{name}", "the lock died with its holder"
    assert sorted(path.name for path in tmp_path.glob("*auth*")) == ["auth.json"], "no half file stays"


def test_what_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    vault = Vault(file, tmp_path / "run")
    vault.put(StoredCredential(id="a", provider="acme", secret="s"))
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="can be read by others") as caught:
        Vault(file, tmp_path / "run").all()
    assert caught.value.hint == f"chmod 600 {file}"


def test_another_programs_file_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    text = json.dumps({"version": 1, "providers": {"nous": {"tokens": {}}}, "credential_pool": {}})
    file.touch(0o600)
    file.write_text(text)
    vault = Vault(file, tmp_path / "run")
    assert vault.all() == ()
    with pytest.raises(ConfigError, match="another program's"):
        vault.put(StoredCredential(id="a", provider="acme", secret="s"))
    assert file.read_text() == text


def test_a_file_that_is_no_vault_is_told(tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    file.touch(0o600)
    file.write_text("{half")
    with pytest.raises(ConfigError, match="cannot be read"):
        Vault(file, tmp_path / "run").all()


class Renewer:
    """Renews ``refresh`` tokens that it knows: each renewal gives the next secret."""

    name = "renewer"
    manifest = Manifest(name="renewer", provides={"token_refresher": ["renewer"]})

    def __init__(self, failure: ProviderError | None = None) -> None:
        self.failure = failure
        self.asked: list[str] = []
        self.base_url = ""

    @hookimpl
    def provide(self) -> list[Provision]:
        return [Provision("token_refresher", "renewer", lambda: self)]

    async def refresh(self, request: RefreshRequest) -> StoredCredential:
        self.asked.append(request.credential.refresh)
        await asyncio.to_thread(lambda: None)  # as the resolver of names has it: it needs a thread
        if self.failure is not None:
            raise self.failure
        return StoredCredential(
            id=request.credential.id,
            provider=request.credential.provider,
            kind="oauth",
            secret=f"new-{len(self.asked)}",
            refresh=request.credential.refresh,
            base_url=self.base_url,
        )

    async def opened(self, credential: StoredCredential) -> StoredCredential:
        return credential

    async def sealed(self, credential: StoredCredential) -> StoredCredential:
        return credential


def login(name: str, **fields: Any) -> StoredCredential:
    return StoredCredential(
        id=name, provider="acme", kind="oauth", **{"secret": f"secret-{name}", "refresh": f"refresh-{name}", **fields}
    )


def with_logins(home: Path, model: Refusing, renewer: Renewer, *entries: StoredCredential, **more: Any) -> App:
    app = pooled(home, model, 0, renewer, **more)
    for entry in entries:
        app.vault.put(entry)
    return app


def test_a_token_that_is_refused_is_renewed_once_and_kept(tmp_path: Path) -> None:
    model, renewer = Refusing({"secret-a": AuthenticationFailed("401")}), Renewer()
    app = with_logins(tmp_path, model, renewer, login("a"))
    (turn,) = talk(app, "hi")
    assert (turn.text, model.asked, renewer.asked) == ("by acme with new-1", ["secret-a", "new-1"], ["refresh-a"])
    assert app.vault.all()[0].secret == "new-1"


def test_a_token_that_is_renewed_is_the_one_that_was_refused(tmp_path: Path) -> None:
    """Whoever's turn it is: the renewal is not another key's."""
    model, renewer = Refusing({"secret-a": AuthenticationFailed("401")}), Renewer()
    overrides = {"credential_pool_strategies": {"acme": "round_robin"}}
    logins = [login("a"), login("b")]
    talk(with_logins(tmp_path, model, renewer, *logins, overrides=overrides, jitter=lambda: 0.0), "hi")
    assert model.asked == ["secret-a", "new-1"]


def test_a_login_that_is_over_says_to_log_in_and_a_pool_goes_on_without_it(tmp_path: Path) -> None:
    over = AuthenticationFailed("the login is over", hint="hermes auth login acme")
    model = Refusing({"secret-a": AuthenticationFailed("401")})
    app = with_logins(tmp_path / "one", model, Renewer(over), login("a"))
    (turn,) = talk(app, "hi")
    assert turn.error is not None
    assert (turn.error.message, turn.error.hint) == ("the login is over", "hermes auth login acme")
    for name, ended_at in (("refused", 0.0), ("ended", 1.0)):
        model.asked.clear()
        app = with_logins(tmp_path / name, model, Renewer(over), login("a", expires=ended_at), login("b"))
        (turn,) = talk(app, "hi")
        assert (turn.text, model.asked[-1]) == ("by acme with secret-b", "secret-b")
        rest = app.router.credentials.pools.rests.of("a")
        assert rest is not None


def test_a_login_server_that_is_away_is_asked_again_and_then_the_fallback(tmp_path: Path) -> None:
    model, renewer = Refusing({}), Renewer(ConnectionFailed("no connection"))
    app = with_logins(tmp_path, model, renewer, login("a", expires=1.0))
    (turn,) = talk(app, "hi")
    assert (turn.text, model.asked) == ("by vertex with vk", ["vk"])
    assert len(renewer.asked) > 1
    assert app.vault.all()[0] == login("a", expires=1.0), "nothing is lost"


def test_a_token_of_a_variable_is_exchanged_and_exchanged_again_when_it_is_refused(tmp_path: Path) -> None:
    """From the variable's own token each time, never from what an exchange gave."""
    model, renewer = Refusing({}), Renewer()
    overrides = {"providers": {"acme": {"oauth": {**OAUTH, "exchange_url": "https://logins.example/exchange"}}}}
    app = with_logins(tmp_path, model, renewer, environ={"ACME_KEY": "lasting"}, overrides=overrides)

    async def work() -> None:
        async with app:
            conversation = await app.conversation()
            await collect(conversation.send("one"))
            model.refused["new-1"] = AuthenticationFailed("401")
            await collect(conversation.send("two"))
            await collect(conversation.send("three"))

    asyncio.run(work())
    assert renewer.asked == ["lasting", "lasting"]
    assert model.asked == ["new-1", "new-1", "new-2", "new-2"]


def test_a_key_goes_only_where_it_is_good(tmp_path: Path) -> None:
    """Two accounts of one provider may be served at two addresses."""
    seen: list[tuple[str, str]] = []

    def answer(request: ModelRequest) -> Reply:
        seen.append((request.endpoint.key, request.endpoint.base_url))
        return [limited()] if request.endpoint.key == "secret-a" else say("ok")

    app = make_app(tmp_path, Acme(), model=ScriptedModel(answer), overrides={"model": {"provider": "acme"}})
    for entry in (login("a", base_url="https://one.example"), login("b", base_url="https://two.example"), login("c")):
        app.vault.put(entry)
    talk(app, "hi")
    app.router.credentials.pools.rests.lay("b", 60, "429")
    assert seen == [("secret-a", "https://one.example"), ("secret-b", "https://two.example")]

    async def third() -> str:
        async with make_app(tmp_path, Acme(), overrides={"model": {"provider": "acme"}}) as later:
            return (await later.router.target(later.scope)).endpoint.base_url

    assert asyncio.run(third()) == "https://acme.example"


def test_many_tasks_that_need_one_token_renew_it_once(tmp_path: Path) -> None:
    """More tasks than there are threads: those that wait leave room for the one they wait for."""
    model, renewer = Refusing({"old": AuthenticationFailed("401")}), Renewer()
    app = with_logins(tmp_path, model, renewer, login("a", expires=1.0))

    async def work() -> set[str]:
        async with app:
            async with asyncio.timeout(60):
                targets = await asyncio.gather(*(app.router.target(app.scope) for _ in range(50)))
            return {target.endpoint.key for target in targets}

    assert asyncio.run(work()) == {"new-1"}
    assert renewer.asked == ["refresh-a"]


def test_a_users_own_key_comes_before_everyones(tmp_path: Path) -> None:
    app = pooled(tmp_path, Refusing({}), 1, environ={"ACME_KEY": "everyones"})
    app.vault.put(StoredCredential(id="own", provider="acme", secret="anns", user="ann"))
    credentials: Credentials = app.router.credentials
    spec: ProviderSpec = app.router.specs["acme"]

    async def keys(user: str) -> list[str]:
        scope = app.scope if not user else type(app.scope)(home=app.scope.home, user=user)
        return [key.key for key in await credentials.all("acme", spec, scope)]

    assert isinstance(spec.oauth, OAuthSpec)
    assert asyncio.run(keys("")) == ["everyones", "k1"]
    assert asyncio.run(keys("ann")) == ["anns", "everyones", "k1"]
    assert asyncio.run(keys("bob")) == ["everyones", "k1"]
