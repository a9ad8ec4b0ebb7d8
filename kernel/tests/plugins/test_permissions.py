"""What a plugin may ask of the kernel: what its manifest says, under its own name."""

from __future__ import annotations

from typing import Any

import pytest

from hermes import LOCAL, Message, PluginError, Scope, TextPart
from hermes.contracts import host as contract
from hermes.contracts.store import HistoryQuery, InboxMessage, SearchQuery, SessionQuery, StateKey, StateValue
from hermes.contracts.values import ContractRef
from hermes.plugins.border import methods_of
from hermes.plugins.manifest import CALLS, Permissions, parse_manifest
from hermes.plugins.permissions import NEEDED, CheckedHost

SCOPE = Scope(home="/h")
REQUESTS: dict[str, Any] = {
    "config": contract.ConfigQuery(plugin="mine", scope=SCOPE),
    "secrets": contract.PluginSecretQuery(plugin="mine", names=(), scope=SCOPE),
    "get_state": StateKey(plugin="mine", key="k"),
    "set_state": StateValue(plugin="mine", key="k", value="1"),
    "list_state": StateKey(plugin="mine", key=""),
    "llm": contract.AuxRequest(
        plugin="mine", task="title", messages=(Message(role="user", parts=(TextPart("x"),)),), scope=SCOPE
    ),
    "call_tool": contract.ToolRequest(plugin="mine", session_id="s", name="t", arguments={}),
    "find_sessions": SessionQuery(),
    "history": HistoryQuery(session_id="s"),
    "search": SearchQuery(text="x"),
    "inject": InboxMessage(session_id="s", text="x", principal=LOCAL),
    "ask": contract.Question(plugin="mine", session_id="s", text="?"),
    "emit": contract.BusMessage(topic="mine.t", value="1"),
    "subscribe": contract.BusTopic(plugin="mine", topic="x.t"),
    "provider_names": ContractRef("transport"),
    "terminal": contract.TerminalQuery(session_id="s", workspace="/w", scope=SCOPE),
    "output": contract.CallOutput(session_id="s", call_id="c", text="x"),
    "redact": contract.Wording(text="x"),
}
GUARDED = sorted(name for name, call in NEEDED.items() if call)


class Recorded:
    """A kernel that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda request: self.asked.append((name, request))


def checked(permissions: Permissions | None) -> tuple[CheckedHost, Recorded]:
    kernel: Any = Recorded()
    return CheckedHost(lambda: kernel, "mine", permissions, serving={("mine", "s", "c")}), kernel


def test_every_call_of_the_kernel_is_judged() -> None:
    assert set(NEEDED) == set(methods_of(contract.Host)) == set(REQUESTS)
    assert set(NEEDED.values()) - {""} <= set(CALLS)


@pytest.mark.parametrize("name", GUARDED)
def test_call_without_its_permission_is_refused(name: str) -> None:
    others = [call for call in CALLS if call != NEEDED[name]]
    host, kernel = checked(Permissions(calls=others))

    with pytest.raises(PluginError, match=rf'The plugin "mine" may not call ctx.{NEEDED[name]}') as caught:
        getattr(host, name)(REQUESTS[name])

    assert f"permissions: {{calls: [{NEEDED[name]}]}}" in caught.value.hint
    assert kernel.asked == []


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_call_with_its_permission_arrives(name: str) -> None:
    host, kernel = checked(Permissions(calls=[NEEDED[name]] if NEEDED[name] else []))

    getattr(host, name)(REQUESTS[name])

    assert kernel.asked == [(name, REQUESTS[name])]


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_the_users_own_files_may_call_all(name: str) -> None:
    host, kernel = checked(None)

    getattr(host, name)(REQUESTS[name])

    assert kernel.asked == [(name, REQUESTS[name])]


@pytest.mark.parametrize("permissions", [None, Permissions(calls=list(CALLS), secrets=["A"])])
@pytest.mark.parametrize("name", [name for name, request in REQUESTS.items() if hasattr(request, "plugin")])
def test_plugin_acts_under_its_own_name(name: str, permissions: Permissions | None) -> None:
    from msgspec.structs import replace

    host, kernel = checked(permissions)

    getattr(host, name)(replace(REQUESTS[name], plugin="another"))

    assert kernel.asked == [(name, REQUESTS[name])]


def test_secrets_are_those_that_are_named() -> None:
    host, kernel = checked(Permissions(secrets=["MINE"]))
    query = contract.PluginSecretQuery(plugin="mine", names=("MINE",), scope=SCOPE)

    host.secrets(query)
    with pytest.raises(PluginError, match="may not read the secret THEIRS") as caught:
        host.secrets(contract.PluginSecretQuery(plugin="mine", names=("MINE", "THEIRS"), scope=SCOPE))

    assert "secrets: [THEIRS]" in caught.value.hint
    assert kernel.asked == [("secrets", query)]


@pytest.mark.parametrize("topic", ["another.news", "news", "", "mine", "minestrone.news"])
@pytest.mark.parametrize("permissions", [None, Permissions()])
def test_nobody_speaks_for_another(topic: str, permissions: Permissions | None) -> None:
    host, kernel = checked(permissions)

    with pytest.raises(PluginError, match="may not speak as"):
        host.emit(contract.BusMessage(topic=topic, value="1"))

    assert kernel.asked == []


@pytest.mark.parametrize("name", ["close_terminals", "__reduce__x", "_plugins", "nothing"])
def test_what_is_no_call_is_not_there(name: str) -> None:
    host, _ = checked(None)

    with pytest.raises(AttributeError):
        getattr(host, name)


@pytest.mark.parametrize(
    ("wanted", "agreed", "beyond"),
    [
        (Permissions(), Permissions(network=["a"]), Permissions()),
        (Permissions(network=["a"]), Permissions(network=["a", "b"]), Permissions()),
        (Permissions(network=["a", "c"]), Permissions(network=["a"]), Permissions(network=["c"])),
        (Permissions(paths=["/x"]), Permissions(paths=["/x:ro"]), Permissions(paths=["/x"])),
        (Permissions(calls=["llm"], env=["A"]), Permissions(env=["A"]), Permissions(calls=["llm"])),
    ],
)
def test_what_goes_beyond_what_was_agreed_to(wanted: Permissions, agreed: Permissions, beyond: Permissions) -> None:
    assert wanted.beyond(agreed) == beyond


@pytest.mark.parametrize(
    "permissions",
    [{"network": "everything"}, {"paths": {"a": "b"}}, {"calls": ["everything"]}, {"rights": []}, [], "all", 7],
)
def test_permissions_of_a_wrong_shape_are_refused(permissions: Any) -> None:
    with pytest.raises(PluginError, match="permissions"):
        parse_manifest({"name": "bad", "permissions": permissions}, "plugin.yaml")
