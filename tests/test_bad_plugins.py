"""Drop-in plugins that misbehave: the run is told of it by name, ends as documented, and loses nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hermes_testkit.command import Hermes, Ran
from hermes_testkit.model_server import Call, ModelServer

HEAD = """
import asyncio, os, subprocess, sys, time
from hermes import hookimpl, tool

LOG = os.path.join(os.environ["HERMES_HOME"], "fired")

def note(text):
    with open(LOG, "a") as file:
        file.write(text + "\\n")
"""

WITNESS = """
@hookimpl
def on_session_start(session):
    note("start")

@hookimpl
def pre_llm_call(turn):
    note("turn")

@hookimpl
def post_tool_call(call, result):
    note("tool " + call.name)

@hookimpl
async def on_session_end(session, outcome):
    note("end " + outcome)
"""

Drop = Callable[[str, str], Path]


@pytest.fixture
def drop(hermes_with_model: Hermes) -> Drop:
    """Puts a plugin into the home, beside one that notes which of its hooks fired."""

    def put(name: str, source: str) -> Path:
        folder = hermes_with_model.home / "plugins"
        folder.mkdir(exist_ok=True)
        file = folder / f"{name}.py"
        file.write_text(HEAD + source)
        return file

    put("witness", WITNESS)
    return put


def fired(hermes: Hermes) -> list[str]:
    return (hermes.home / "fired").read_text().splitlines()


def sessions(hermes: Hermes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(hermes("sessions", "list", "--json").out)
    return found


def told_once(ran: Ran, plugin: str, *says: str) -> None:
    """The plugin's trouble is on stderr: once, by its name, with what to do."""
    lines = [line for line in ran.err.splitlines() if f'"{plugin}"' in line]
    assert len(lines) == 1, ran.err
    for text in (*says, "hermes plugins"):
        assert text in lines[0]
    assert "Traceback" not in ran.err


def goes_on(hermes: Hermes, ran: Ran) -> None:
    """The answer came, the session is stored, the other plugin had its say."""
    assert (ran.code, ran.out) == (0, "OK\n"), ran.err
    assert [(record["outcome"], record["message_count"]) for record in sessions(hermes)] == [("done", 2)]
    assert fired(hermes) == ["start", "turn", "end done"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("raise RuntimeError('not today')", "not today"),
        ("import no_such_module_anywhere", "no_such_module_anywhere"),
        ("def broken(:", "SyntaxError"),
        ("sys.exit(3)", "SystemExit"),
        ("os._exit(3)", "ended the process"),
    ],
    ids=["raises", "imports what is not there", "no Python", "sys.exit", "os._exit"],
)
def test_import_fails(hermes_with_model: Hermes, drop: Drop, source: str, says: str) -> None:
    drop("bad", source)

    ran = hermes_with_model("-z", "hi")

    goes_on(hermes_with_model, ran)
    listed = {plugin["name"]: plugin for plugin in json.loads(hermes_with_model("plugins", "list", "--json").out)}
    assert listed["bad"]["state"] == "broken"
    assert says in listed["bad"]["problem"]
    assert "disable bad" in listed["bad"]["hint"]
    found = json.loads(hermes_with_model("doctor", "--json").out)
    assert any("bad" in finding["text"] and finding["level"] == "problem" for finding in found)


def test_broken_plugin_is_told_and_can_be_disabled(hermes_with_model: Hermes, drop: Drop) -> None:
    drop("bad", "raise RuntimeError('not today')")

    told_once(hermes_with_model("-z", "hi"), "bad", "not today")
    assert hermes_with_model("plugins", "disable", "bad").code == 0
    assert hermes_with_model("-z", "hi") == Ran(0, "OK\n", "")


def test_plugin_that_was_mended_is_used(hermes_with_model: Hermes, drop: Drop) -> None:
    drop("bad", "raise RuntimeError('not today')")
    hermes_with_model("-z", "hi")
    drop("bad", "@hookimpl\ndef on_session_start(session):\n    note('mended')\n")

    assert hermes_with_model("-z", "hi").err == ""
    assert "mended" in fired(hermes_with_model)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("def pre_llm_call(turn):\n    raise ValueError('oh no')", "ValueError: oh no"),
        ("async def pre_llm_call(turn):\n    raise ValueError('oh no')", "ValueError: oh no"),
        ("def pre_llm_call(turn):\n    sys.exit(7)", "sys.exit(7)"),
        ("async def pre_llm_call(turn):\n    sys.exit(7)", "sys.exit(7)"),
        ("def pre_llm_call(turn):\n    raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("def pre_llm_call(turn):\n    return 42", "returned int"),
        ("async def pre_llm_call(turn):\n    return ['a']", "returned list"),
        ("async def pre_llm_call(turn):\n    raise asyncio.CancelledError", "cancelled itself"),
    ],
)
def test_hook_fails(hermes_with_model: Hermes, drop: Drop, body: str, says: str) -> None:
    drop("bad", f"@hookimpl\n{body}\n")

    ran = hermes_with_model("-z", "hi")

    goes_on(hermes_with_model, ran)
    told_once(ran, "bad", says, "pre_llm_call")
    assert says in (hermes_with_model.home / "logs" / "errors.log").read_text()


@pytest.mark.parametrize(
    "body",
    [
        "def pre_llm_call(turn):\n    time.sleep(600)",
        "def pre_llm_call(turn):\n    while True: pass",
        "async def pre_llm_call(turn):\n    await asyncio.sleep(600)",
        "def pre_llm_call(turn):\n    return asyncio.sleep(600)",
    ],
    ids=["sleeps", "spins", "async", "awaitable"],
)
def test_hook_hangs(hermes_with_model: Hermes, drop: Drop, body: str) -> None:
    drop("bad", f"@hookimpl(deadline=0.3)\n{body}\n")

    ran = hermes_with_model("-z", "hi")

    goes_on(hermes_with_model, ran)
    told_once(ran, "bad", "did not answer within 0.3 s")


def test_hook_of_every_kind_fails_every_time(hermes_with_model: Hermes, drop: Drop, model_server: ModelServer) -> None:
    hooks = {
        "system_blocks": "session",
        "on_session_start": "session",
        "on_session_end": "session, outcome",
        "pre_llm_call": "turn",
        "post_llm_call": "turn, answer",
        "pre_api_request": "request",
        "post_api_request": "request, response",
        "rewrite_tool_call": "call",
        "post_tool_call": "call, result",
        "transform_tool_result": "call, result",
        "on_turn_end": "turn",
        "on_event": "event",
    }
    drop("bad", "\n".join(f"@hookimpl\ndef {name}({args}):\n    1 / 0\n" for name, args in hooks.items()))
    model_server.script(Call("terminal", {"command": "echo hi"}), "Done.")

    ran = hermes_with_model("-z", "go")

    assert (ran.code, ran.out) == (0, "Done.\n")
    assert fired(hermes_with_model) == ["start", "turn", "tool terminal", "end done"]
    for name in hooks:
        assert ran.err.count(f"failed in {name}:") == 1, name


PRINTS = {
    "print": "print('NOISE')",
    "descriptor": "os.write(1, b'NOISE\\n')",
    "child": "subprocess.run(['echo', 'NOISE'])",
    "sys.__stdout__": "sys.__stdout__.write('NOISE\\n'); sys.__stdout__.flush()",
    "os.system": "os.system('echo NOISE')",
}


@pytest.mark.parametrize("how", PRINTS.values(), ids=PRINTS.keys())
@pytest.mark.parametrize("command", [("-z", "go"), ("-z", "go", "--json")], ids=["-z", "--json"])
def test_plugin_prints(
    hermes_with_model: Hermes, drop: Drop, model_server: ModelServer, how: str, command: tuple[str, ...]
) -> None:
    source = f"""
{how}

@hookimpl
def on_session_start(session):
    {how}

@hookimpl
async def post_llm_call(turn, answer):
    {how}

@tool(risk="read")
def noisy() -> str:
    "Makes noise."
    {how}
    return "made"
"""
    drop("noise", source)
    model_server.script(Call("noisy"), "Done.")

    ran = hermes_with_model(*command)

    assert ran.code == 0, ran.err
    assert "NOISE" not in ran.out
    assert "NOISE" in ran.err
    if "--json" in command:
        assert [json.loads(line) for line in ran.out.splitlines()][-1]["text"] == "Done."
    else:
        assert ran.out == "Done.\n"


@pytest.mark.parametrize("command", [("sessions", "list", "--json"), ("plugins", "list", "--json")], ids=" ".join)
def test_plugin_that_prints_at_import_leaves_commands_clean(
    hermes_with_model: Hermes, drop: Drop, command: tuple[str, ...]
) -> None:
    drop("noise", "print('NOISE'); os.write(1, b'NOISE\\n')")

    ran = hermes_with_model(*command)

    assert ran.code == 0
    assert isinstance(json.loads(ran.out), list)


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize(
    ("body", "says"),
    [("sys.exit(5)", "sys.exit"), ("raise ValueError('oh no')", "ValueError: oh no"), ("1 / 0", "ZeroDivisionError")],
)
def test_tool_fails(
    hermes_with_model: Hermes, drop: Drop, model_server: ModelServer, kind: str, body: str, says: str
) -> None:
    drop("bad", f'@tool(risk="read")\n{kind} broken() -> str:\n    "Breaks."\n    {body}\n')
    model_server.script(Call("broken"), "It is broken.")

    ran = hermes_with_model("-z", "try it")

    assert (ran.code, ran.out) == (0, "It is broken.\n"), ran.err
    (result,) = [message for message in model_server.requests[-1].json["messages"] if message["role"] == "tool"]
    assert says in result["content"] or "SystemExit" in result["content"]
    assert [record["message_count"] for record in sessions(hermes_with_model)] == [4]
    assert "broken" in (hermes_with_model.home / "logs" / "errors.log").read_text()


def test_tool_that_returns_what_cannot_be_sent(
    hermes_with_model: Hermes, drop: Drop, model_server: ModelServer
) -> None:
    drop("bad", '@tool(risk="read")\ndef odd() -> object:\n    "Returns an object."\n    return object()\n')
    model_server.script(Call("odd"), "Odd.")

    ran = hermes_with_model("-z", "try it")

    assert (ran.code, ran.out) == (0, "Odd.\n"), ran.err
    (result,) = [message for message in model_server.requests[-1].json["messages"] if message["role"] == "tool"]
    assert "The tool failed" in result["content"]


BROKEN_GUARDS = {
    "raises at import": "@hookimpl\ndef pre_tool_call(call):\n    return None\n\nraise RuntimeError('no guard today')",
    "no Python": "def pre_tool_call(:",
    "raises": "@hookimpl\ndef pre_tool_call(call):\n    raise ValueError('oh no')",
    "raises, async": "@hookimpl\nasync def pre_tool_call(call):\n    raise ValueError('oh no')",
    "exits": "@hookimpl\ndef pre_tool_call(call):\n    sys.exit(0)",
    "hangs": "@hookimpl(deadline=0.3)\ndef pre_tool_call(call):\n    time.sleep(600)",
    "hangs, async": "@hookimpl(deadline=0.3)\nasync def pre_tool_call(call):\n    await asyncio.sleep(600)",
    "wrong type": "@hookimpl\ndef pre_tool_call(call):\n    return True",
}


@pytest.mark.parametrize("source", BROKEN_GUARDS.values(), ids=BROKEN_GUARDS.keys())
def test_broken_guard_denies_everything_by_its_name(
    hermes_with_model: Hermes, drop: Drop, model_server: ModelServer, source: str
) -> None:
    drop("sentry", source)
    (hermes_with_model.workspace / "a.txt").write_text("secret of a.txt")
    model_server.script(
        [Call("terminal", {"command": "echo hi"}), Call("read_file", {"path": "a.txt"})], "I could not."
    )

    ran = hermes_with_model("chat", "-Q", "-q", "go", "--yolo")

    results = [message for message in model_server.requests[-1].json["messages"] if message["role"] == "tool"]
    assert len(results) == 2
    for result in results:
        assert result["content"].startswith('Not run: The guard "sentry"')
        assert "hermes plugins disable sentry" in result["content"]
    assert (ran.code, ran.out) == (3, "")
    assert "hermes plugins disable sentry" in ran.err
    assert fired(hermes_with_model) == ["start", "turn", "end denied"]
    assert [record["outcome"] for record in sessions(hermes_with_model)] == ["denied"]


def test_broken_guard_is_mended_by_disabling_it(
    hermes_with_model: Hermes, drop: Drop, model_server: ModelServer
) -> None:
    drop("sentry", BROKEN_GUARDS["raises at import"])
    hermes_with_model("plugins", "disable", "sentry")
    model_server.script(Call("terminal", {"command": "echo hi"}), "Done.")

    assert hermes_with_model("-z", "go") == Ran(0, "Done.\n", "")


def test_process_ends_though_a_plugin_left_a_thread(hermes_with_model: Hermes, drop: Drop) -> None:
    drop(
        "bad",
        "import threading\n@hookimpl\ndef on_session_start(session):\n"
        "    threading.Thread(target=time.sleep, args=(600,)).start()\n",
    )

    goes_on(hermes_with_model, hermes_with_model("-z", "hi", timeout=60))


def test_two_plugins_of_one_name(hermes_with_model: Hermes, drop: Drop) -> None:
    folder = drop("twin", "@hookimpl\ndef on_session_start(session):\n    note('one')\n").parent / "twin"
    folder.mkdir()
    (folder / "plugin.yaml").write_text("name: twin\napi: 1\nhooks: [on_session_start]\n")
    (folder / "__init__.py").write_text("")

    ran = hermes_with_model("-z", "hi")

    goes_on(hermes_with_model, ran)
    told_once(ran, "twin", "two plugins")


def test_plugin_for_a_newer_hermes(hermes_with_model: Hermes, drop: Drop) -> None:
    folder = drop("x", "").parent / "future"
    folder.mkdir()
    (folder / "plugin.yaml").write_text("name: future\napi: 2\n")
    (folder / "__init__.py").write_text("")

    ran = hermes_with_model("-z", "hi")

    goes_on(hermes_with_model, ran)
    told_once(ran, "future", "newer Hermes")


def test_folder_without_a_manifest(hermes_with_model: Hermes, drop: Drop) -> None:
    (drop("x", "").parent / "empty").mkdir()

    ran = hermes_with_model("-z", "hi")

    goes_on(hermes_with_model, ran)
    told_once(ran, "empty", "plugin.yaml")


@pytest.mark.skipif(os.name != "posix", reason="kills itself")
def test_plugin_that_kills_the_process_loses_nothing(
    hermes_with_model: Hermes, drop: Drop, model_server: ModelServer
) -> None:
    file = drop("bad", "@hookimpl\ndef post_llm_call(turn, answer):\n    os.kill(os.getpid(), 9)\n")

    assert hermes_with_model("-z", "hi").code == -9
    file.unlink()

    assert hermes_with_model("sessions", "check").code == 0
    (record,) = sessions(hermes_with_model)
    assert record["message_count"] == 2
    assert hermes_with_model("-z", "go on", "--resume", record["id"]).code == 0
