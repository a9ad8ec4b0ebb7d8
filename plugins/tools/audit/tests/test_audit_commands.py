"""``hermes audit``, as a user runs it."""

from __future__ import annotations

import json

import pytest

from hermes_testkit.command import Hermes
from hermes_testkit.model_server import Call, ModelServer

KEY = "sk-abcdefghijklmnopqrstuvwxyz123456"


@pytest.fixture
def used(hermes_with_model: Hermes, model_server: ModelServer) -> Hermes:
    """One turn that read two files."""
    hermes_with_model.use(model_server.url, audit={"arguments": "full"})
    for name in ("a.txt", f"{KEY}.txt"):
        (hermes_with_model.workspace / name).write_text("seven\n")
    model_server.script(Call("read_file", {"path": "a.txt"}), Call("read_file", {"path": f"{KEY}.txt"}), "Done.")
    ran = hermes_with_model("-z", "Read them.")
    assert ran.code == 0, ran
    return hermes_with_model


def test_a_log_is_verified(used: Hermes) -> None:
    ran = used("audit", "verify")
    assert (ran.code, ran.err) == (0, "")
    head = used("audit", "head").out.strip()
    assert ran.out == f"4 records in 1 file(s): sound\nhead {head}\n"
    report = json.loads(used("audit", "verify", "--head", head, "--json").out)
    assert (report["records"], report["head"], report["problems"]) == (4, head, [])


def test_a_changed_line_is_told_with_exit_code_1(used: Hermes) -> None:
    file = used.home / "plugin-data" / "audit" / "audit.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"read_file"', b'"write_file"', 1))
    ran = used("audit", "verify")
    assert ran.code == 1
    assert "audit.jsonl:1: changed: record 1 was changed\n" in ran.out
    ran = used("audit", "verify", "--json")
    assert (ran.code, json.loads(ran.out)["problems"][0]["kind"]) == (1, "changed")


def test_a_cut_end_is_told_with_an_anchor(used: Hermes) -> None:
    head = used("audit", "head", "--json").out
    anchor = json.loads(head)
    assert anchor["seq"] == 4
    file = used.home / "plugin-data" / "audit" / "audit.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
    assert used("audit", "verify").code == 0
    ran = used("audit", "verify", "--head", anchor["hash"])
    assert ran.code == 1
    assert "anchor: no record has the hash" in ran.out


def test_records_are_shown_without_secrets(used: Hermes) -> None:
    lines = used("audit", "tail").out.splitlines()
    assert len(lines) == 4
    assert "read_file a.txt" in lines[0]
    assert len(used("audit", "tail", "-n", "1").out.splitlines()) == 1
    record = json.loads(used("audit", "tail", "-n", "2", "--json").out.splitlines()[1])
    assert (record["seq"], record["outcome"]) == (4, "done")
    session = record["session"]
    assert len(used("audit", "tail", "--session", session).out.splitlines()) == 4
    assert used("audit", "tail", "--session", "1999").out == ""

    shown = used("audit", "show", "3").out
    assert "tool            read_file\n" in shown
    assert json.loads(used("audit", "show", "3", "--json").out)["seq"] == 3
    for text in (shown, used("audit", "show", "3", "--json").out, used("audit", "tail", "--json").out):
        assert KEY not in text


def test_hashes_are_shown_as_they_are(used: Hermes) -> None:
    """What hides secrets leaves them alone."""
    head = used("audit", "head").out.strip()
    assert head in used("audit", "show", "4").out
    assert json.loads(used("audit", "show", "4", "--json").out)["hash"] == head


def test_what_is_not_there_is_told(hermes: Hermes) -> None:
    assert hermes("audit", "verify").out == "0 records in 0 file(s): sound\n"
    ran = hermes("audit", "head")
    assert (ran.code, ran.err) == (1, "The log is empty.\n")
    ran = hermes("audit", "show", "7")
    assert (ran.code, ran.err) == (2, "hermes: There is no record 7.\n  See: hermes audit tail\n")
    ran = hermes("audit", "verify", "--head", "abc")
    assert ran.code == 2
    assert "64 hexadecimal digits" in ran.err
