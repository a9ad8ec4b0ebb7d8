"""One shots, typed as a user types them: what is on stdout, what on stderr, and the exit code."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from hermes_testkit.command import Hermes, Ran
from hermes_testkit.model_server import Call, Fail, ModelServer, Say, Tokens

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


def session_of(ran: Ran) -> str:
    """The id on the line that ``-Q`` writes."""
    (line,) = [line for line in ran.err.splitlines() if line.startswith("session_id: ")]
    return line.removeprefix("session_id: ")


def texts_of(server: ModelServer, number: int = -1) -> list[str]:
    """The user's and the assistant's messages of a request, as text."""
    texts = []
    for message in server.requests[number].json["messages"]:
        content = message.get("content")
        if message["role"] in ("user", "assistant") and content:
            texts.append(content if isinstance(content, str) else "".join(part.get("text", "") for part in content))
    return texts


def without_retries(hermes: Hermes, url: str) -> None:
    hermes.use(url, agent={"retries": 0})


def test_oneshot_writes_the_answer_and_only_it(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    model_server.script("The answer.")

    assert hermes_with_model("-z", "a question") == Ran(0, "The answer.\n", "")
    assert texts_of(model_server) == ["a question"]


def test_quiet_chat_writes_the_answer_and_the_session(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    model_server.script("The answer.")

    ran = hermes_with_model("chat", "-q", "a question", "-Q")

    assert (ran.code, ran.out) == (0, "The answer.\n")
    assert ran.err == f"session_id: {session_of(ran)}\n"
    assert (hermes_with_model.home / "sessions" / f"session_{session_of(ran)}.json").exists()


def test_progress_goes_to_stderr(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    model_server.script(Call("terminal", {"command": "echo from-the-tool"}), "The answer.")

    ran = hermes_with_model("chat", "-q", "a question")

    assert (ran.code, ran.out) == (0, "The answer.\n")
    assert "terminal" in ran.err
    assert "echo from-the-tool" in ran.err


def test_words_of_chat_are_the_prompt(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    assert hermes_with_model("chat", "what", "is", "it").out == "OK\n"
    assert texts_of(model_server) == ["what is it"]


@pytest.mark.parametrize(
    "arguments", [("chat", "-Q"), (), ("chat", "-Q", "-q", "-"), ("-z", "-"), ("chat",)], ids=" ".join
)
def test_prompt_on_stdin(hermes_with_model: Hermes, model_server: ModelServer, arguments: tuple[str, ...]) -> None:
    ran = hermes_with_model(*arguments, stdin="piped in, with ünïcode\n")

    assert (ran.code, ran.out) == (0, "OK\n")
    assert texts_of(model_server) == ["piped in, with ünïcode\n"]


@pytest.mark.parametrize("stdin", ["", " \n"], ids=["nothing", "blanks"])
def test_empty_prompt_is_wrong_usage(hermes_with_model: Hermes, model_server: ModelServer, stdin: str) -> None:
    ran = hermes_with_model("chat", "-Q", stdin=stdin)

    assert (ran.code, ran.out) == (2, "")
    assert "The prompt is empty." in ran.err
    assert model_server.requests == []


@pytest.mark.parametrize(
    "choice",
    [("-m", "other:big"), ("--provider", "other", "-m", "big"), ("--provider", "other", "-m", "other:big")],
    ids=" ".join,
)
def test_model_and_provider(hermes: Hermes, model_server: ModelServer, choice: tuple[str, ...]) -> None:
    entry = {"transport": "chat_completions", "base_url": model_server.url, "models": ["small"]}
    unused = {**entry, "base_url": "http://127.0.0.1:9/v1"}
    hermes.configure({"model": {"provider": "first"}, "providers": {"first": unused, "other": entry}})

    assert hermes("-z", "hi", *choice).out == "OK\n"
    assert model_server.requests[0].json["model"] == "big"


def test_provider_alone_takes_its_first_model(hermes: Hermes, model_server: ModelServer) -> None:
    entry = {"transport": "chat_completions", "base_url": model_server.url, "models": ["small", "big"]}
    unused = {**entry, "base_url": "http://127.0.0.1:9/v1", "models": ["x"]}
    hermes.configure({"model": {"provider": "first", "default": "x"}, "providers": {"first": unused, "other": entry}})

    assert hermes("-z", "hi", "--provider", "other").out == "OK\n"
    assert model_server.requests[0].json["model"] == "small"


def test_toolsets(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    hermes_with_model("-z", "hi")
    hermes_with_model("-z", "hi", "-t", "terminal")

    every, some = ({tool["function"]["name"] for tool in seen.json["tools"]} for seen in model_server.requests)
    assert {"terminal", "process", "read_file", "write_file", "patch", "search_files"} <= every
    assert some == {"terminal", "process"}


def test_unknown_toolset(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    ran = hermes_with_model("-z", "hi", "-t", "terminl")

    assert (ran.code, ran.out) == (2, "")
    assert "terminl" in ran.err
    assert "terminal" in ran.err
    assert model_server.requests == []


def test_image(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    (hermes_with_model.workspace / "dot.png").write_bytes(PIXEL)

    assert hermes_with_model("chat", "-q", "what is it?", "--image", "dot.png", "-Q").code == 0

    (text, image) = model_server.requests[0].json["messages"][-1]["content"]
    assert text == {"type": "text", "text": "what is it?"}
    assert image["image_url"]["url"] == f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"


@pytest.mark.parametrize("name", ["missing.png", "text.txt"])
def test_image_that_is_none(hermes_with_model: Hermes, model_server: ModelServer, name: str) -> None:
    (hermes_with_model.workspace / "text.txt").write_text("no image")

    ran = hermes_with_model("-z", "hi", "--image", name)

    assert (ran.code, ran.out) == (2, "")
    assert name in ran.err
    assert model_server.requests == []


def test_resume_by_id_and_by_its_beginning(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    model_server.script("one", "two", "three")
    session = session_of(hermes_with_model("chat", "-q", "first", "-Q"))

    assert session_of(hermes_with_model("chat", "-q", "second", "-Q", "--resume", session)) == session
    assert session_of(hermes_with_model("chat", "-q", "third", "-Q", "--resume", session[:-2])) == session
    assert texts_of(model_server) == ["first", "one", "second", "two", "third"]


def test_continue_goes_on_with_the_latest(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    model_server.script("one", "two", "three")
    older = session_of(hermes_with_model("chat", "-q", "older", "-Q"))
    newer = session_of(hermes_with_model("chat", "-q", "newer", "-Q"))

    ran = hermes_with_model("chat", "-q", "go on", "-Q", "--continue")

    assert session_of(ran) == newer != older
    assert texts_of(model_server) == ["newer", "two", "go on"]


@pytest.mark.parametrize("which", [("--resume", "20200101_000000_abcdef"), ("--continue",)], ids=" ".join)
def test_no_session_to_go_on_with(hermes_with_model: Hermes, model_server: ModelServer, which: tuple[str, ...]) -> None:
    ran = hermes_with_model("-z", "hi", *which)

    assert (ran.code, ran.out) == (2, "")
    assert "session" in ran.err
    assert model_server.requests == []


def test_max_turns_ends_over_budget(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    model_server.default = Call("terminal", {"command": "pwd"})

    ran = hermes_with_model("chat", "-Q", "-q", "loop", "--max-turns", "2")

    assert (ran.code, ran.out) == (3, "")
    assert len(model_server.requests) == 2
    assert "--max-turns" in ran.err


def test_denied_tool_ends_with_3_and_yolo_allows_it(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    file = hermes_with_model.workspace / "made"
    script = [Call("terminal", {"command": "touch made"}), "I tried."]

    model_server.script(*script)
    denied = hermes_with_model("chat", "-Q", "-q", "make it")

    assert (denied.code, denied.out) == (3, "")
    assert not file.exists()
    assert "nobody can be asked" in denied.err
    assert "--yolo" in denied.err
    assert "user denied" not in denied.err

    model_server.script(*script)
    assert hermes_with_model("-z", "make it", "--yolo") == Ran(0, "I tried.\n", "")
    assert file.exists()


def test_hard_line_holds_with_yolo(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    model_server.script(Call("terminal", {"command": "shutdown -h now"}), "I tried.")

    ran = hermes_with_model("-z", "stop the machine", "--yolo")

    assert (ran.code, ran.out) == (3, "")
    (result,) = [message for message in model_server.requests[-1].json["messages"] if message["role"] == "tool"]
    assert result["content"].startswith("Not run:")


def test_json_events(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    model_server.script([Say("Looking."), Call("terminal", {"command": "echo hi"})], "Done.")

    ran = hermes_with_model("-z", "go", "--json")

    events = [json.loads(line) for line in ran.out.splitlines()]
    kinds = [event["type"] for event in events]
    wanted = ["message_stored", "turn_started", "text_delta", "tool_call_ready", "tool_started", "tool_finished"]
    assert [kind for kind in dict.fromkeys(kinds) if kind in wanted] == wanted
    assert kinds[-1] == "turn_finished"
    assert (events[-1]["outcome"], events[-1]["text"]) == ("done", "Done.")
    assert all(event["session_id"] and event["turn_id"] for event in events)
    numbers = [event["seq"] for event in events]
    assert numbers == sorted(set(numbers))


def test_json_on_failure_ends_with_the_failed_turn(hermes: Hermes, model_server: ModelServer) -> None:
    without_retries(hermes, model_server.url)
    model_server.script(Fail(500))

    ran = hermes("-z", "go", "--json")

    last = json.loads(ran.out.splitlines()[-1])
    assert ran.code == 1
    assert (last["type"], last["outcome"], last["error"]["status"]) == ("turn_finished", "failed", 500)


def test_usage_file(hermes_with_model: Hermes, model_server: ModelServer, tmp_path: Path) -> None:
    model_server.script([Say("Done."), Tokens(prompt=100, completion=20, cached=60, reasoning=5)])
    file = tmp_path / "usage.json"

    ran = hermes_with_model("chat", "-Q", "-q", "go", "--usage-file", str(file))

    usage = json.loads(file.read_text())
    assert usage["session_id"] == session_of(ran)
    assert (usage["provider"], usage["model"], usage["outcome"], usage["error"]) == ("fake", "test-model", "done", None)
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (100, 20, 120)
    assert (usage["cache_read_tokens"], usage["reasoning_tokens"], usage["api_call_count"]) == (60, 5, 1)


def test_usage_file_also_on_failure(hermes: Hermes, model_server: ModelServer, tmp_path: Path) -> None:
    without_retries(hermes, model_server.url)
    model_server.script(Fail(404))
    failed, unknown = tmp_path / "failed.json", tmp_path / "unknown.json"

    assert hermes("-z", "go", "--usage-file", str(failed)).code == 1
    assert hermes("-z", "go", "--usage-file", str(unknown), "--provider", "nobody").code == 2

    usage = json.loads(failed.read_text())
    assert (usage["outcome"], usage["provider"]) == ("failed", "fake")
    assert usage["error"].startswith("ModelNotFound:")
    assert "nobody" in json.loads(unknown.read_text())["error"]


def test_usage_file_that_cannot_be_written(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    ran = hermes_with_model("-z", "go", "--usage-file", "no/such/folder/usage.json")

    assert (ran.code, ran.out) == (2, "")
    assert "no/such/folder/usage.json" in ran.err
    assert model_server.requests == []


def test_system_file(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    (hermes_with_model.workspace / "persona.md").write_text("You are a pirate.")

    assert hermes_with_model("-z", "hi", "--system-file", "persona.md").code == 0
    assert hermes_with_model("-z", "hi", "--system-file", "missing.md").code == 2

    (seen,) = model_server.requests
    assert seen.json["messages"][0] == {"role": "system", "content": "You are a pirate."}


def test_ignore_user_config(hermes: Hermes, model_server: ModelServer) -> None:
    hermes.configure({"model": {"provider": "nobody"}, "agent": {"retries": 0}})
    hermes.environ |= {"OPENAI_API_KEY": "sk-test-not-a-real-key", "OPENAI_BASE_URL": model_server.url}

    assert hermes("-z", "hi").code == 2
    assert hermes("-z", "hi", "--ignore-user-config") == Ran(0, "OK\n", "")
    assert hermes("chat", "--ignore-user-config", "-q", "hi").out == "OK\n"


def test_profile_is_a_home_of_its_own(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    profile = hermes_with_model.home / "profiles" / "work"
    profile.mkdir(parents=True)
    config = (hermes_with_model.home / "config.yaml").read_text()
    (profile / "config.yaml").write_text(config.replace("test-model", "model-of-work"))

    assert hermes_with_model("-p", "work", "-z", "hi").code == 0
    assert hermes_with_model("chat", "-q", "hi", "--profile", "work").code == 0

    assert [seen.json["model"] for seen in model_server.requests] == ["model-of-work", "model-of-work"]
    assert len(json.loads(hermes_with_model("-p", "work", "sessions", "list", "--json").out)) == 2
    assert json.loads(hermes_with_model("sessions", "list", "--json").out) == []
    assert hermes_with_model("-p", "nobody", "-z", "hi").code == 2


def test_version_and_help(hermes: Hermes) -> None:
    assert hermes("--version").out == hermes("-V").out == "hermes 1.0.0\n"
    text = hermes("--help").out
    assert all(word in text for word in ("--oneshot", "--yolo", "--resume", "sessions", "doctor", "Exit codes", "130"))


def test_prompt_that_is_no_utf8_is_taken(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    model_server.script("Fine.")
    done = hermes_with_model("-z", b"caf\xe9".decode("utf-8", "surrogateescape"))
    assert (done.code, done.out) == (0, "Fine.\n"), done.err
    assert model_server.requests[0].json["messages"][-1]["content"] == "caf?"
