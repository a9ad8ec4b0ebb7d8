"""The order of judgement, rules, kept answers, and tools that are no commands."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

import hermes_plugin_approvals as plugin
from hermes.contracts.events import InputRequest
from hermes.contracts.hookspecs import ApprovalDecision
from hermes.contracts.host import PluginContext
from hermes.contracts.scope import LOCAL, Scope
from hermes.contracts.tool import ToolCall, ToolOptions
from hermes.contracts.verdict import Verdict
from hermes.plugins.manifest import parse_manifest


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def call_of(tool: str, workspace: Path, risk: str = "exec", session: str = "s1", **arguments: Any) -> ToolCall:
    paths = ("path",) if "path" in arguments else ()
    return ToolCall(
        id="c1",
        name=tool,
        arguments=arguments,
        session_id=session,
        options=ToolOptions(risk=risk, paths=paths),  # type: ignore[arg-type]
        workspace=str(workspace),
        scope=Scope(home=str(workspace.parent / "home")),
    )


def judge(ctx: PluginContext, call: ToolCall) -> Verdict:
    return asyncio.run(plugin.pre_tool_call(call, ctx))


def terminal(ctx: PluginContext, workspace: Path, command: str, **more: Any) -> Verdict:
    return judge(ctx, call_of("terminal", workspace, command=command, **more))


def answer(ctx: PluginContext, call: ToolCall, verdict: Verdict, said: str) -> None:
    request = InputRequest(
        id="r1", kind="approval", prompt="Allow?", tool=call.name, arguments=call.arguments, key=verdict.key
    )
    decision = ApprovalDecision(answer=said, by=LOCAL, session_id=call.session_id)
    asyncio.run(plugin.on_approval(request, decision, ctx))


def test_the_manifest_is_one_that_the_kernel_reads() -> None:
    manifest = parse_manifest(yaml.safe_load((Path(plugin.__file__).parent / "plugin.yaml").read_text()), "plugin.yaml")
    assert manifest.is_guard
    assert sorted(manifest.hooks) == ["on_approval", "pre_tool_call"]
    assert manifest.config.defaults() == {
        "mode": "manual",
        "timeout": 60,
        "judge_timeout": 20,
        "rules": [],
        "deny": [],
        "allow": [],
    }
    assert manifest.options["yolo"].set == {"mode": "off"}


def test_importing_the_plugin_does_not_import_the_parser() -> None:
    import subprocess
    import sys

    code = "import sys, hermes_plugin_approvals; print('tree_sitter' in sys.modules, 're' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"


@pytest.mark.parametrize("mode", ["manual", "off"])
def test_the_hard_line_holds_in_every_mode_and_over_every_rule(make_ctx: Any, workspace: Path, mode: str) -> None:
    ctx, _ = make_ctx(mode=mode, rules=[{"tool": "*", "decision": "allow"}], allow=["rm -rf /"])
    verdict = terminal(ctx, workspace, "sudo rm -rf /")
    assert verdict.decision == "deny"
    assert verdict.reason == "it deletes / and everything in it, and no setting allows that"


def test_mode_off_asks_for_nothing(make_ctx: Any, workspace: Path) -> None:
    ctx, _ = make_ctx(mode="off", rules=[{"tool": "terminal", "match": "rm*", "decision": "ask"}])
    assert terminal(ctx, workspace, "rm -rf build; $X; if").decision == "allow"
    assert judge(ctx, call_of("mcp_tool", workspace)).decision == "allow"


def test_off_that_yaml_reads_as_false_is_off(make_ctx: Any, workspace: Path) -> None:
    ctx, _ = make_ctx(mode=yaml.safe_load("mode: off")["mode"])
    assert terminal(ctx, workspace, "rm a").decision == "allow"


@pytest.mark.parametrize(
    ("pattern", "command"),
    [
        ("git push*", "git push --force"),
        ("git push", "git push --force"),
        ("git push*", "ls && git push"),
        ("git push*", "sudo git push"),
        ("git push*", "X=1 git push"),
        ("git push*", "/usr/bin/git push"),
        ("git push*", "sh -c 'git push'"),
        ("git push*", "g\\it 'push'"),
        ("git push*", "git push )"),
        ("terminal:curl*", "curl x | sh"),
        ("term*:curl*", "curl x"),
        ("*secret*", "cat secret.txt"),
        ("rm", "rm -r x"),
        ("terminal", "ls"),
        ("> /etc/*", "echo x > /etc/passwd"),
    ],
)
def test_denials_come_before_mode_off(make_ctx: Any, workspace: Path, pattern: str, command: str) -> None:
    ctx, _ = make_ctx(mode="off", deny=[pattern], rules=[{"tool": "*", "decision": "allow"}])
    verdict = terminal(ctx, workspace, command)
    assert verdict.decision == "deny"
    assert pattern in verdict.reason
    assert terminal(ctx, workspace, "echo hi").decision == ("deny" if pattern == "terminal" else "allow")


def test_a_denial_of_another_tool_does_not_bind(make_ctx: Any, workspace: Path) -> None:
    ctx, _ = make_ctx(mode="off", deny=["write_file:/etc/*"])
    assert terminal(ctx, workspace, "echo /etc/x").decision == "allow"
    assert judge(ctx, call_of("write_file", workspace, "write", path="/etc/x")).decision == "deny"


def test_a_deny_rule_comes_before_mode_off_and_an_ask_rule_before_an_allow_rule(make_ctx: Any, workspace: Path) -> None:
    rules = [
        {"tool": "terminal", "match": "git *", "decision": "allow"},
        {"tool": "term*", "match": "git push*", "decision": "ask"},
        {"tool": "terminal", "match": "git push --force*", "decision": "deny"},
    ]
    ctx, _ = make_ctx(rules=rules)
    assert terminal(ctx, workspace, "git commit -m x").decision == "allow"
    asked = terminal(ctx, workspace, "git push")
    assert (asked.decision, asked.key) == ("ask", "")
    assert terminal(ctx, workspace, "git push --force").decision == "deny"
    off, _ = make_ctx(mode="off", rules=rules)
    assert terminal(off, workspace, "git push").decision == "allow"
    assert terminal(off, workspace, "git push --force").decision == "deny"


@pytest.mark.parametrize(
    ("match", "command", "decision"),
    [
        ("git push*", "git push origin main", "allow"),
        ("git push*", "git push && ls", "allow"),
        ("git push*", "git push; rm x", "ask"),
        ("git push*", "git push $(rm x)", "ask"),
        ("git push*", "git push > /etc/passwd", "ask"),
        ("git push*", "PATH=/tmp git push", "ask"),
        ("git push*", "sudo git push", "ask"),
        ("git push*", "/tmp/git push", "ask"),
        ("git push*", "'git push'", "ask"),
        ("git push*", "git push )", "ask"),
        ("git push*", "env git push", "allow"),
        ("*", "$X", "ask"),
        ("*", "if", "ask"),
        ("*", "make x", "allow"),
    ],
)
def test_an_allow_rule_covers_each_simple_command(
    make_ctx: Any, workspace: Path, match: str, command: str, decision: str
) -> None:
    ctx, _ = make_ctx(rules=[{"tool": "terminal", "match": match, "decision": "allow"}])
    assert terminal(ctx, workspace, command).decision == decision


def test_an_allow_rule_without_a_match_covers_all_of_the_tool(make_ctx: Any, workspace: Path) -> None:
    ctx, _ = make_ctx(rules=[{"tool": "mcp_*", "decision": "allow"}])
    assert judge(ctx, call_of("mcp_x", workspace)).decision == "allow"
    assert judge(ctx, call_of("other", workspace)).decision == "ask"


def test_an_answer_for_the_session_lasts_in_it_and_no_longer(make_ctx: Any, workspace: Path) -> None:
    ctx, _ = make_ctx(timeout=5)
    call = call_of("terminal", workspace, command="git push")
    asked = judge(ctx, call)
    assert (asked.decision, asked.key, asked.timeout) == ("ask", "git push", 5.0)
    answer(ctx, call, asked, "session")
    assert judge(ctx, call).decision == "allow"
    assert terminal(ctx, workspace, "git push origin x && ls").decision == "allow"
    assert terminal(ctx, workspace, "git push --force").decision == "ask"
    assert judge(ctx, msgspec.structs.replace(call, session_id="s2")).decision == "ask"


def test_an_answer_for_good_lasts_in_other_sessions_and_after_a_restart(make_ctx: Any, workspace: Path) -> None:
    ctx, host = make_ctx()
    call = call_of("terminal", workspace, command="git add . && git commit -m x")
    asked = judge(ctx, call)
    assert asked.key == "git add + git commit"
    answer(ctx, call, asked, "always")
    again, fresh = make_ctx()
    fresh.state = dict(host.state)
    assert terminal(again, workspace, "git commit -m y", session="s2").decision == "allow"
    assert terminal(again, workspace, "git add x; git push", session="s2").key == "git push"


@pytest.mark.parametrize("said", ["once", "deny", "no"])
def test_other_answers_are_not_kept(make_ctx: Any, workspace: Path, said: str) -> None:
    ctx, host = make_ctx()
    call = call_of("terminal", workspace, command="git push")
    answer(ctx, call, judge(ctx, call), said)
    assert host.state == {}
    assert judge(ctx, call).decision == "ask"


def test_an_answer_to_what_has_no_key_is_not_kept(make_ctx: Any, workspace: Path) -> None:
    ctx, host = make_ctx()
    call = call_of("terminal", workspace, command="$X")
    answer(ctx, call, judge(ctx, call), "always")
    assert host.state == {}


@pytest.mark.parametrize(
    ("shown", "worse"),
    [
        ("rm a", "rm -r a"),
        ("rm a", "rm /tmp/a"),
        ("rm a", "rm ../a"),
        ("rm a", "rm .git/hooks/x"),
        ("rm a", "sudo rm a"),
        ("rm a", "X=1 rm a"),
        ("rm a", "./rm a"),
        ("rm a", "rm $X"),
        ("rm a", "rm a > b"),
        ("git push", "git push -f"),
        ("git push", "git push --delete x"),
        ("git push", "git -c core.sshCommand=x push"),
        ("git checkout x", "git checkout -- ."),
        ("make", "make deploy"),
        ("python a.py", "python -c x"),
        ("curl https://a", "curl -d @x https://a"),
        ("cp a b", "cp a ~/.bashrc"),
        ("npm install", "npm install evil"),
        ("docker run x", "docker run -v /:/h x"),
        ("echo x > a", "echo x > /tmp/a"),
        ("echo x > a", "echo x > .git/hooks/a"),
    ],
)
def test_a_kept_answer_never_covers_more_than_was_shown(make_ctx: Any, workspace: Path, shown: str, worse: str) -> None:
    ctx, _ = make_ctx()
    call = call_of("terminal", workspace, command=shown)
    answer(ctx, call, judge(ctx, call), "always")
    assert judge(ctx, call).decision == "allow"
    assert terminal(ctx, workspace, worse).decision == "ask"


def test_permanent_allows_of_the_configuration(make_ctx: Any, workspace: Path) -> None:
    ctx, _ = make_ctx(allow=["git add + git commit", "pytest"])
    assert terminal(ctx, workspace, "git commit -m x && pytest").decision == "allow"
    assert terminal(ctx, workspace, "git push").decision == "ask"


def test_relative_paths_count_from_where_the_shell_was_left(make_ctx: Any, workspace: Path) -> None:
    ctx, _ = make_ctx()
    call = call_of("terminal", workspace, command="echo x > passwd")
    answer(ctx, call, judge(ctx, call), "session")
    assert judge(ctx, call).decision == "allow"
    assert terminal(ctx, workspace, "cd /etc").decision == "allow"
    asked = judge(ctx, call)
    assert (asked.decision, asked.key) == ("ask", "")
    assert terminal(ctx, workspace, "cd / && ls").decision == "allow"
    assert terminal(ctx, workspace, "rm -rf *").decision == "deny"
    assert terminal(ctx, workspace, "rm -rf *", workdir=str(workspace / "sub")).decision == "ask"
    assert terminal(ctx, workspace, f"cd {workspace}").decision == "allow"
    assert terminal(ctx, workspace, "rm -rf *").decision == "ask"
    assert judge(ctx, call).decision == "allow"


def test_workdir_is_where_a_command_starts(make_ctx: Any, workspace: Path) -> None:
    ctx, _ = make_ctx(mode="off")
    assert terminal(ctx, workspace, "rm -rf *", workdir="/").decision == "deny"
    assert terminal(ctx, workspace, "rm -rf *", workdir="../../../../../../..").decision == "deny"


def test_deleting_the_home_directory_by_its_path_is_the_hard_line(
    make_ctx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "me"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    ctx, _ = make_ctx(mode="off")
    assert terminal(ctx, home, "rm -rf .").decision == "deny"
    assert terminal(ctx, home, f"rm -rf {home}").decision == "deny"
    assert terminal(ctx, home, "rm -rf sub").decision == "allow"


@pytest.mark.parametrize(
    ("text", "decision"),
    [("ls\n", "allow"), ("ls", "ask"), ("rm a\n", "ask"), ("rm -rf /\n", "deny"), ("y\n", "ask"), ("", "allow")],
)
def test_what_is_written_to_a_process_is_judged(make_ctx: Any, workspace: Path, text: str, decision: str) -> None:
    ctx, _ = make_ctx()
    verdict = judge(ctx, call_of("process", workspace, action="write" if text else "poll", id="p1", text=text))
    assert (verdict.decision, verdict.key) == (decision, "")


def test_writing_asks_once_for_the_workspace(make_ctx: Any, workspace: Path) -> None:
    ctx, _ = make_ctx()
    call = call_of("write_file", workspace, "write", path="src/a.py", content="x")
    asked = judge(ctx, call)
    assert (asked.decision, asked.key) == ("ask", f"write:{workspace}")
    answer(ctx, call, asked, "session")
    assert judge(ctx, call_of("patch", workspace, "write", path=str(workspace / "b"))).decision == "allow"
    assert terminal(ctx, workspace, "echo x > c").decision == "allow"


@pytest.mark.parametrize(
    "path",
    ["/tmp/x", "../x", "a/../../x", "~/x", "link/x", ".git/hooks/pre-commit", ".env", "~/.bashrc", "~/.ssh/config",
     "/etc/crontab", "../home/config.yaml", "../home/plugins/evil.py", "../home/.env"],
)  # fmt: skip
def test_an_answer_for_the_workspace_covers_nothing_else(make_ctx: Any, workspace: Path, path: str) -> None:
    (workspace / "link").symlink_to(workspace.parent, target_is_directory=True)
    ctx, _ = make_ctx()
    call = call_of("write_file", workspace, "write", path="a", content="x")
    answer(ctx, call, judge(ctx, call), "always")
    asked = judge(ctx, call_of("write_file", workspace, "write", path=path))
    assert asked.decision == "ask"
    assert asked.key != f"write:{workspace}"


def test_a_patch_that_names_its_files_is_judged_by_them(make_ctx: Any, workspace: Path) -> None:
    ctx, _ = make_ctx(deny=["patch:*secrets*"])
    text = "*** Begin Patch\n*** Update File: a.py\n*** Add File: {}\n*** End Patch"
    assert judge(ctx, call_of("patch", workspace, "write", patch=text.format("b.py"))).key == f"write:{workspace}"
    assert judge(ctx, call_of("patch", workspace, "write", patch=text.format("/tmp/x"))).key != f"write:{workspace}"
    assert judge(ctx, call_of("patch", workspace, "write", patch=text.format("secrets.py"))).decision == "deny"
    assert judge(ctx, call_of("patch", workspace, "write", patch="???")).key == ""


def test_writing_to_a_raw_device_is_the_hard_line(make_ctx: Any, workspace: Path) -> None:
    ctx, _ = make_ctx(mode="off")
    assert judge(ctx, call_of("write_file", workspace, "write", path="/dev/sda")).decision == "deny"


def test_rules_match_paths(make_ctx: Any, workspace: Path) -> None:
    ctx, _ = make_ctx(
        rules=[
            {"tool": "write_file", "match": "docs/*", "decision": "allow"},
            {"tool": "*", "match": f"{workspace}/locked/*", "decision": "deny"},
        ]
    )
    assert judge(ctx, call_of("write_file", workspace, "write", path="docs/a.md")).decision == "allow"
    assert judge(ctx, call_of("write_file", workspace, "write", path="docs/../locked/a")).decision == "deny"
    assert judge(ctx, call_of("write_file", workspace, "write", path="src/a.py")).decision == "ask"


def test_reading_is_allowed_but_for_secrets(make_ctx: Any, workspace: Path) -> None:
    ctx, _ = make_ctx()
    assert judge(ctx, call_of("read_file", workspace, "read", path="a.py")).decision == "allow"
    assert judge(ctx, call_of("read_file", workspace, "read", path="~/.ssh/id_rsa")).decision == "ask"
    assert judge(ctx, call_of("anything", workspace, "read")).decision == "allow"


def test_the_network_is_asked_for_by_host(make_ctx: Any, workspace: Path) -> None:
    ctx, _ = make_ctx()
    call = call_of("fetch", workspace, "network", url="https://docs.example/x")
    asked = judge(ctx, call)
    assert (asked.decision, asked.key) == ("ask", "fetch docs.example")
    answer(ctx, call, asked, "session")
    assert judge(ctx, call_of("fetch", workspace, "network", url="https://docs.example/y")).decision == "allow"
    assert judge(ctx, call_of("fetch", workspace, "network", url="https://docs.example.evil/")).decision == "ask"
    assert judge(ctx, call_of("web_search", workspace, "network", query="x")).key == "web_search"


def test_other_tools_are_asked_for_by_name_and_code_each_time(make_ctx: Any, workspace: Path) -> None:
    ctx, _ = make_ctx()
    assert judge(ctx, call_of("mcp_x", workspace, a=1)).key == "mcp_x"
    assert judge(ctx, call_of("execute_code", workspace, code="x")).key == ""
    assert judge(ctx, call_of("mcp_x", workspace, command=["not", "text"])).decision == "ask"


@pytest.mark.parametrize(
    "config",
    [
        {"mode": "clever"},
        {"mode": "smart", "judge_timeout": 0},
        {"mode": "smart", "judge_timeout": 600},
        {"rules": [{"tool": "terminal"}]},
        {"rules": [{"tool": "terminal", "decision": "maybe"}]},
        {"rules": [{"tool": "terminal", "decision": "deny", "mach": "rm*"}]},
        {"rules": "deny everything"},
        {"deny": "rm*"},
        {"timeout": "soon"},
        {"unknown": 1},
    ],
)
def test_a_malformed_configuration_denies(make_ctx: Any, workspace: Path, config: dict[str, Any]) -> None:
    ctx, _ = make_ctx(**config)
    verdict = judge(ctx, call_of("read_file", workspace, "read", path="a"))
    assert verdict.decision == "deny"
    assert "approvals in config.yaml" in verdict.reason
    assert "hermes config edit" in verdict.reason


def test_a_store_that_cannot_be_read_remembers_nothing(make_ctx: Any, workspace: Path) -> None:
    ctx, host = make_ctx()
    call = call_of("terminal", workspace, command="git push")
    answer(ctx, call, judge(ctx, call), "always")
    host.broken = True
    assert judge(ctx, call).decision == "ask"
    assert terminal(ctx, workspace, "cd /etc && ls").decision == "allow"


@pytest.mark.parametrize(
    ("command", "match"), [("git push origin", "git push*"), ("make", "make"), ("rm -r build", "rm -r*")]
)
def test_the_verdict_says_how_to_allow_the_like(make_ctx: Any, workspace: Path, command: str, match: str) -> None:
    ctx, _ = make_ctx()
    verdict = terminal(ctx, workspace, command)
    rule = f"{{tool: terminal, match: '{match}', decision: allow}}"
    assert verdict.allow_with == f"Allow it with approvals.rules in config.yaml ({rule}), or run with --yolo."
    rules, _ = make_ctx(rules=[yaml.safe_load(rule)])
    assert terminal(rules, workspace, command).decision == "allow"


def test_one_question_names_the_first_reasons_and_counts_the_rest(make_ctx: Any, workspace: Path) -> None:
    ctx, _ = make_ctx()
    verdict = terminal(ctx, workspace, "rm a; mv b c; cp d e; touch f; mkdir g")
    assert verdict.reason.count("`") == 6
    assert verdict.reason.endswith("; and 2 more")
