"""``hermes plugins``: what is told of plugins, trust, reload; and commands of isolated plugins."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hermes.plugins.sandbox import bubblewrap
from hermes_testkit.command import Hermes
from hermes_testkit.model_server import Call, ModelServer, Say

COUNTED = """
# /// hermes
# name: counted
# permissions: {network: [api.example.org], secrets: [SOME_KEY], calls: [sessions]}
# ///
from hermes import hookimpl, tool

@tool(risk="read", effects="none")
def look() -> str:
    "Look."
    return "seen"

@hookimpl
def on_session_start(session):
    pass

@hookimpl
def post_tool_call(call, result):
    raise ValueError("not today")
"""

COMMAND = """
name: greeter
provides:
  commands:
    greet: {help: "Greets.", target: "hermes_plugin_greeter:greet"}
    "plugins greet": {help: "Greets, too.", target: "hermes_plugin_greeter:greet"}
"""

GREET = """
import os, sys
import click
from hermes import with_context

@click.command()
@click.option("--name", default="you", help="Whom.")
@click.option("--code", default=0)
def greet(name, code):
    "Greets somebody."
    async def count(ctx):
        count = await ctx.state.get("count", 0) + 1
        await ctx.state.set("count", count)
        return count
    times = with_context(count)
    click.echo(f"hello {name} {times} terminal={sys.stdin.isatty()} secret={os.path.exists(%r)}")
    if name == "nobody":
        raise click.ClickException("there is nobody")
    raise click.exceptions.Exit(code)
"""


def settings(hermes: Hermes, isolation: str, *names: str) -> None:
    entries = {name: {"isolation": isolation} for name in names}
    hermes.home.mkdir(exist_ok=True)
    (hermes.home / "config.yaml").write_text(json.dumps({"plugins": {"entries": entries}}))


def put(hermes: Hermes, name: str, text: str) -> Path:
    file = hermes.home / "plugins" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize("isolation", ["host", "isolated"])
def test_info_tells_how_hooks_fared_over_several_runs(
    hermes_with_model: Hermes, model_server: ModelServer, isolation: str
) -> None:
    hermes = hermes_with_model
    put(hermes, "counted.py", COUNTED.strip())
    assert hermes("config", "set", "plugins.entries.counted.isolation", isolation).code == 0
    for _ in range(2):
        model_server.script(Call("look"), Say("done"))
        assert hermes("-z", "look").code == 0
    told = json.loads(hermes("plugins", "info", "counted", "--json").out)
    assert {hook: sorted(surfaces) for hook, surfaces in told["counters"].items()} == {
        "on_session_start": ["cli"],
        "post_tool_call": ["cli"],
    }
    start, post = told["counters"]["on_session_start"]["cli"], told["counters"]["post_tool_call"]["cli"]
    assert (start["fired"], start.get("failed", 0)) == (2, 0)
    assert (post["fired"], post["failed"], post["error"]) == (2, 2, "ValueError: not today")
    assert post["last"] > 1_700_000_000
    shown = hermes("plugins", "info", "counted").out
    assert re.search(r"post_tool_call +cli +2 +2 +\S+ \S+ +\d+\.\d+ ms +ValueError: not today", shown)
    if isolation == "isolated":
        assert "may: reach api.example.org over the network; read the secrets SOME_KEY; read all your sessions" in shown
        assert ("enforced: by bubblewrap" in shown) == bool(bubblewrap())
    else:
        assert "may: all that you may, since it runs in Hermes itself" in shown


@pytest.mark.parametrize("isolation", ["host", "isolated"])
def test_a_plugins_command_has_its_context_wherever_it_runs(hermes: Hermes, isolation: str) -> None:
    settings(hermes, isolation, "greeter")
    (hermes.home / ".env").write_text("SECRET=1\n")
    put(hermes, "greeter/plugin.yaml", COMMAND)
    put(hermes, "greeter/__init__.py", GREET % str(hermes.home / ".env"))
    hidden = isolation == "isolated" and bool(bubblewrap())
    assert hermes("greet", "--name", "Ada").out == f"hello Ada 1 terminal=False secret={not hidden}\n"
    assert hermes("plugins", "greet", "--code", "7").code == 7
    failed = hermes("greet", "--name", "nobody")
    assert (failed.code, "there is nobody" in failed.err) == (2, True)
    usage = hermes("greet", "--help")
    assert "Greets somebody." in usage.out
    assert "--name TEXT" in usage.out
    assert "Greets, too." in hermes("plugins", "--help").out


def test_an_isolated_command_keeps_the_terminal(hermes: Hermes) -> None:
    settings(hermes, "isolated", "greeter")
    put(hermes, "greeter/plugin.yaml", COMMAND)
    put(hermes, "greeter/__init__.py", GREET % "/nowhere")
    ours, theirs = pty.openpty()
    program = [str(Path(sys.executable).parent / "hermes"), "greet"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(hermes.home), "HERMES_HOME": str(hermes.home)}
    with subprocess.Popen(program, stdin=theirs, stdout=subprocess.PIPE, text=True, env=environ) as process:
        os.close(theirs)
        out, _ = process.communicate(timeout=30)
    os.close(ours)
    assert "terminal=True" in out


def test_trust_is_asked_for_and_taken_back(hermes: Hermes) -> None:
    settings(hermes, "isolated", "greeter")
    put(hermes, "greeter/plugin.yaml", COMMAND)
    put(hermes, "greeter/__init__.py", GREET % "/nowhere")
    refused = hermes("plugins", "trust", "greeter")
    assert refused.code != 0
    assert "will be able to do all that you can" in refused.err
    runs = [json.loads(hermes("plugins", "info", "greeter", "--json").out)["runs"]]
    for arguments in (("--yes",), ("--undo",)):
        assert hermes("plugins", "trust", "greeter", *arguments).code == 0
        runs.append(json.loads(hermes("plugins", "info", "greeter", "--json").out)["runs"])
    assert runs == ["isolated", "in Hermes", "in Hermes"]  # a file of one's own, without a setting


def test_a_projects_plugins_are_used_once_it_is_trusted_and_isolated(hermes: Hermes, tmp_path: Path) -> None:
    project = tmp_path / "workspace"
    (project / ".hermes" / "plugins").mkdir(parents=True)
    (project / ".hermes" / "plugins" / "counted.py").write_text(COUNTED.strip())

    def names() -> dict[str, str]:
        return {plugin["name"]: plugin["runs"] for plugin in json.loads(hermes("plugins", "list", "--json").out)}

    assert "counted" not in names()
    assert hermes("plugins", "trust", "--project", str(project), "--yes").code == 0
    assert names()["counted"] == "isolated"
    assert hermes("plugins", "trust", "--project", str(project), "--undo").code == 0
    assert "counted" not in names()
    assert hermes("plugins", "trust").code == 2
    assert "is no folder" in hermes("plugins", "trust", "--project", str(project / "nothing"), "-y").err


def test_reload_says_what_is_broken_and_asks_others_for_what_is_not(hermes: Hermes) -> None:
    settings(hermes, "isolated", "counted")
    put(hermes, "counted.py", COUNTED.strip())
    put(hermes, "broken.py", "import no_such_module_at_all")
    done = hermes("plugins", "reload")
    assert done.code == 1
    assert "counted: loads" in done.err
    assert "broken: " in done.err
    assert "no_such_module_at_all" in done.err
    assert json.loads((hermes.home / "run" / "reload.json").read_text()) == ["counted"]
    assert "There is no plugin" in hermes("plugins", "reload", "nothing").err
    assert "restart Hermes" in hermes("plugins", "reload", "approvals").err


def test_the_list_says_who_lost_a_name(hermes: Hermes) -> None:
    settings(hermes, "isolated", "thief")
    put(hermes, "thief/plugin.yaml", COMMAND.replace("greeter", "thief").replace("greet:", "sessions:", 1))
    put(hermes, "thief/__init__.py", GREET % "/nowhere")
    listed = hermes("plugins", "list")
    assert 'The command "sessions" of the plugin "thief" is not used: "sessions" has one of that name.' in listed.err
    assert "List, show, search" in hermes("sessions", "--help").out
