"""The guard takes any text, and reads words as bash does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hermes.contracts.tool import ToolCall, ToolOptions
from hermes_plugin_approvals.paths import HOME, UNKNOWN
from hermes_plugin_approvals.reader import read
from hermes_plugin_approvals.subject import subject_of

TOKEN_TABLE = r"""
rm ls -rf / ~ * $X ${X:-a} $(ls) `ls` ; & | && || ( ) { } [[ ]] (( )) < > >> << <<< <( 2>&1 ' " \
BREAK # ! = X=rm if then else fi for in do done while case esac function f() sh -c eval env sudo
xargs find -exec cat EOF <<EOF $' $" {a,b} $IFS ${ $(( 1 +
"""
TOKENS = st.sampled_from(
    [*(token.replace("BREAK", "\n") for token in TOKEN_TABLE.split()), "é", "\u200b", "\x00", "\x01", "\ud800"]
)


def judge(command: str, cwds: tuple[str, ...] = ()) -> str:
    call = ToolCall(
        id="1", name="terminal", arguments={"command": command}, options=ToolOptions(risk="exec"), workspace="/w"
    )
    subject = subject_of(call, cwds)
    return "deny" if subject.hard else "ask" if subject.findings else "allow"


@settings(max_examples=600, deadline=None)
@given(st.lists(TOKENS | st.text(max_size=6), max_size=16), st.sampled_from(["", " "]))
def test_any_text_is_judged(parts: list[str], glue: str) -> None:
    assert judge(glue.join(parts)) in ("allow", "ask", "deny")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.sampled_from([";", "&&", "|", "\n", "&", "||"]))
def test_what_follows_a_command_is_not_hidden_by_what_goes_before(text: str, mark: str) -> None:
    """Whatever the text does to the syntax, ``rm`` after it is never let through."""
    if "#" not in text:
        assert judge(f"{text} {mark} rm -r x") != "allow" or _is_quoted(text)


def _is_quoted(text: str) -> bool:
    """Does bash itself take the rest for text, or refuse it?"""
    return any(mark in text for mark in "'\"`<")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="'\"\\", max_size=8))
def test_quotes_in_a_name_do_not_hide_it(noise: str) -> None:
    command = f"r{noise}m -rf /"
    done = subprocess.run(["bash", "-nc", command], capture_output=True, check=False)
    expanded = subprocess.run(["bash", "-c", f"printf '%s\\n' r{noise}m"], capture_output=True, text=True, check=False)
    if done.returncode == 0 and expanded.stdout == "rm\n":
        assert judge(command) == "deny"


def test_characters_beyond_the_grammars_tables_are_read() -> None:
    """The grammar's scanner crashes at some of them, so it is never shown one."""
    for code in range(0x80, 0x110000, 997):
        script = read(f"{{{chr(code)}a {chr(code)} }}\nwhile [[ {chr(code)} ]]", ("/w",))
        assert script.problems
        assert read(f"echo 'x{chr(code)}'", ("/w",)).commands[0].words[1][0] == "x"


@pytest.mark.parametrize("size", [60_000, 70_000, 100_000, 3_000_000])
def test_long_text_is_bounded(size: int) -> None:
    assert judge("echo " + "a " * (size // 2)) == ("allow" if size < 65_536 else "ask")


@pytest.mark.parametrize(
    "bomb",
    [
        "echo " + "{a,b}" * 40,
        "echo {1..999999}",
        "for a in 1 2 3 4 5 6 7 8; do " * 8 + "ls" + "; done" * 8,
        "f() { f; }; f",
        "f() { g; }; g() { f; }; f",
        "alias a=b; alias b=a; a",
        "(" * 3000 + ")" * 3000,
        "$(" * 2000 + ")" * 2000,
        "sh -c " * 50 + "ls",
        "eval " * 500 + "ls",
        "nice " * 3000 + "ls",
        "{" * 60_000,
        "((" * 3000,
        "${X:-" * 300 + "}" * 300,
        "X=a; " + "X=$X$X; " * 60 + "echo $X",
    ],
    ids=lambda bomb: bomb[:12],
)
def test_what_would_take_long_to_read_is_not_allowed_unread(bomb: str) -> None:
    assert judge(bomb) in ("allow", "ask")


WORDS = [
    "a", "'a b'", '"a b"', "a\\ b", "a'b'\"c\"", "$'a\\tb'", "$'\\x41\\102\\u0043'", "$\"a\"", "{a,b}c", "a{b,c}{d,e}",
    "{1..4}", "{c..a}", "{a}",
    "{a,}", "a{b,{c,d}}e", "'{a,b}'", "\\{a,b\\}", "\"{a,b}\"c", "$X", '"$X"', "'$X'", "${X}y",
    "a$X", "$X$X", "\"$X\"y", "a$X-b$X/", "${X:-q}", "${NOPE:-q}", '"${NOPE:-a b}"', "$Y", "x$Y", "\"$Y\"", "$Y\"$Y\"",
    "a${IFS}b", "$E", '"$E"', "a$E", "\\$X", '"\\$X"', '"\\a"', "\"a\\\\b\"", "a\\\nb", "\"a\\\nb\"", "'a\\\nb'", "\\'",
    "''", "a''b", "$(echo hi)", "\"$(echo a b)\"", "$(echo a b)", "`echo hi`", "x=$X", "--a=$X", "{$X,z}", "{'a,b',c}",
    "$1", '"$@"', "x$2", "a#b", "-", "{", "}", "{}", "[a", "é", "a😀b", "{é,日}", "\"$X$Y\"", "$X'b'", "a\"$X\"'c'$X",
]  # fmt: skip


def test_words_are_expanded_as_bash_expands_them() -> None:
    """Every word of a table, by both. What we do not know must be unknown, never wrong."""
    setup = "X=v; Y='p  q'; E=; set -- one two; "
    script = setup + "".join(f"printf '%s\\0' {word}; printf '\\1'; " for word in WORDS)
    done = subprocess.run(["bash", "--norc", "-c", script, "_"], capture_output=True, check=True, text=True)
    expected = [tuple(answer.split("\0")[:-1]) for answer in done.stdout.split("\1")[:-1]]
    wrong, unknown = [], 0
    for word, fields in zip(WORDS, expected, strict=True):
        script = read(setup + f"printf '%s' {word}", ("/w",))
        found = script.commands[-1].words[2:]
        known = not script.problems and not any(UNKNOWN in field or HOME in field for field in found)
        unknown += not known
        if known and found != fields and not (found == () and fields == ("",)):
            wrong.append((word, found, fields))
    assert wrong == []
    assert unknown < len(WORDS) // 10


PIECE_TABLE = r"""
rm rm rm a r m ls echo true false cat x x=rm x=a $x ${x} ${x:-rm} $(rm) $(echo BREAK `rm` `echo ; &
| && || ( ) { } [[ ]] (( )) -f -eq == < <<< << <<EOF EOF ' " \ BREAK BREAK # ! = if then else fi for
in do done while case esac ;; a) f() f sh -c eval exec command env nice time {r,m} {rm,a} r\m 'r'
"m" $'\x72m' $IFS ${IFS} ${ $(( $((1)) 1 + [ ] \BREAK a[0] *
"""
PIECES = st.sampled_from([piece.replace("BREAK", "\n") for piece in PIECE_TABLE.split()])


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with programs that do nothing, and an ``rm`` that tells that it ran."""
    folder = tmp_path_factory.mktemp("programs")
    for name in ("ls", "cat", "env", "nice", "find", "xargs", "sudo", "a", "x", "m", "r", "f"):
        (folder / name).write_text("#!/bin/sh\nexit 0\n")
    (folder / "rm").write_text(f"#!/bin/sh\n: > {folder}/ran\n")
    for program in folder.iterdir():
        program.chmod(0o755)
    return folder


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES, min_size=1, max_size=9), st.lists(st.sampled_from(["", " ", " ", " "]), min_size=9, max_size=9))
def test_what_is_allowed_does_not_run_what_has_to_be_asked_for(trap: Path, pieces: list[str], glue: list[str]) -> None:
    """By bash itself: if a command was allowed, no ``rm`` ran in it."""
    command = "".join(piece + space for piece, space in zip(pieces, glue, strict=False))
    if judge(command) != "allow":
        return
    try:
        subprocess.run(
            [shutil.which("bash") or "bash", "--norc", "-c", f"ulimit -f 10 -t 2; {command}"],
            env={"PATH": str(trap)}, cwd=trap, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pass
    assert not (trap / "ran").exists(), command
