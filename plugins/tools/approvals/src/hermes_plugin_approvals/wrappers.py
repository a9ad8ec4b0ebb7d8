"""Programs that run other programs: what of their words is the command, and what a script."""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

from .paths import UNKNOWN, names

Fields = tuple[str, ...]

SHELLS = names("sh bash dash zsh ksh mksh ash fish rbash")


class Inner(NamedTuple):
    """What a wrapper runs: ``words`` or a ``script``.

    ``prefix`` names a wrapper that changes what the command does, or to which machine; such a command is never
    safe. ``outer``: the wrapper has a say of its own and is judged as well.
    """

    words: Fields = ()
    script: str | None = None
    prefix: str = ""
    assignments: tuple[tuple[str, str], ...] = ()
    positional: Fields | None = None
    outer: bool = False


class Wrapper(NamedTuple):
    """How to skip a wrapper's own words: options that take a value, and how many operands come first."""

    valued: str = ""
    """Short letters, then long options, separated by spaces."""
    operands: int = 0
    transparent: bool = True
    script_option: str = ""
    joined: bool = False
    """The rest is one script, as for ``eval`` and ``watch``."""


WRAPPERS: dict[str, Wrapper] = {
    "nice": Wrapper("n --adjustment"),
    "ionice": Wrapper("cnpPu --class --classdata"),
    "timeout": Wrapper("sk --signal --kill-after", operands=1),
    "gtimeout": Wrapper("sk --signal --kill-after", operands=1),
    "stdbuf": Wrapper("ioe --input --output --error"),
    "nohup": Wrapper(),
    "setsid": Wrapper(),
    "time": Wrapper(),
    "exec": Wrapper("a"),
    "command": Wrapper(),
    "builtin": Wrapper(),
    "coproc": Wrapper(),
    "then": Wrapper(),
    "do": Wrapper(),
    "else": Wrapper(),
    "{": Wrapper(),
    "!": Wrapper(),
    "caffeinate": Wrapper("tw"),
    "unbuffer": Wrapper(),
    "noglob": Wrapper(),
    "nocorrect": Wrapper(),
    "eval": Wrapper(joined=True),
    "sudo": Wrapper(
        "ughpCrtTUDR --user --group --host --prompt --close-from --role --type --chdir --chroot", transparent=False
    ),
    "doas": Wrapper("uC", transparent=False),
    "pkexec": Wrapper("--user", transparent=False),
    "run0": Wrapper("u --user", transparent=False),
    "runuser": Wrapper("ugGsc --user --command --shell", transparent=False, script_option="c"),
    "su": Wrapper("cgGsw --command --group --shell", operands=0, transparent=False, script_option="c"),
    "chroot": Wrapper("--userspec --groups", operands=1, transparent=False),
    "xargs": Wrapper(
        "IinPLdEsa --max-args --max-procs --replace --delimiter --arg-file --max-lines", transparent=False
    ),
    "parallel": Wrapper("jINnL --jobs --delay --timeout", transparent=False, joined=True),
    "watch": Wrapper("nq --interval", transparent=False, joined=True),
    "flock": Wrapper("wEc --timeout --wait --command", operands=1, transparent=False, script_option="c"),
    "strace": Wrapper("eopsauEOSbIX", transparent=False),
    "ltrace": Wrapper("eopsaunl", transparent=False),
    "script": Wrapper("cImEO --command", transparent=False, script_option="c"),
    "unshare": Wrapper("SGRw", transparent=False),
    "nsenter": Wrapper("tSG", transparent=False),
    "systemd-run": Wrapper("upE --unit --property --setenv --slice --uid --gid", transparent=False),
    "setpriv": Wrapper("--reuid --regid --groups", transparent=False),
    "taskset": Wrapper("", operands=1),
    "chrt": Wrapper("TPD", operands=1),
    "firejail": Wrapper(transparent=False),
    "proot": Wrapper("rbw", transparent=False),
    "fakeroot": Wrapper("lsbi", transparent=False),
    "entr": Wrapper(transparent=False),
    "rlwrap": Wrapper("aCfHs", transparent=False),
}

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


def unwrap(words: Fields, stdin: str | None) -> list[Inner] | None:
    """What the command runs; None when it is no wrapper, or runs nothing.

    ``stdin``: the text it reads, where that is known.
    """
    name = words[0].rsplit("/", 1)[-1]
    if name in SHELLS:
        return _shell(name, words, stdin)
    if name == "env":
        return _env(words)
    if name in ("busybox", "toybox"):
        return [Inner(words[1:])] if len(words) > 1 and not words[1].startswith("-") else None
    if name == "find":
        return _find(words)
    if name == "ssh":
        return _ssh(words)
    if name == "trap":
        return [Inner(script=words[1], outer=True)] if len(words) > 2 and words[1] not in ("-", "") else None
    if name == "command" and len(words) > 1 and words[1] in ("-v", "-V"):
        return None
    wrapper = WRAPPERS.get(name)
    return _wrapped(name, wrapper, words, stdin) if wrapper else None


def _wrapped(name: str, wrapper: Wrapper, words: Fields, stdin: str | None) -> list[Inner] | None:
    prefix = "" if wrapper.transparent else f"{name} "
    if wrapper.script_option and (script := _option_value(words, wrapper.script_option)) is not None:
        return [Inner(script=script, prefix=prefix)]
    at = _skip_options(words, 1, wrapper.valued)
    assignments: tuple[tuple[str, str], ...] = ()
    if name in ("sudo", "doas"):
        at, assignments = _assignments(words, at)
        if any(option in words[1:at] for option in ("-s", "-i", "--shell", "--login")) and at < len(words):
            return [Inner(script=shlex.join(words[at:]), prefix=prefix)]
    at += wrapper.operands
    rest = words[at:]
    if not rest:
        return None
    if wrapper.joined:
        return [Inner(script=" ".join(rest), prefix=prefix)]
    if name == "xargs":
        rest = (*rest, *(stdin.split() if stdin is not None else (UNKNOWN,)))
    return [Inner(rest, prefix=prefix, assignments=assignments)]


def _skip_options(words: Fields, at: int, valued: str) -> int:
    letters, _, rest = valued.partition(" ")
    if letters.startswith("--"):
        letters, rest = "", valued
    long = set(rest.split())
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        word = words[at]
        at += 1
        if word == "--":
            break
        if word.startswith("--"):
            at += word in long
        elif any(letter in letters for letter in word[1:]):
            first = next(index for index, letter in enumerate(word[1:], 1) if letter in letters)
            at += first == len(word) - 1
    return at


def _assignments(words: Fields, at: int) -> tuple[int, tuple[tuple[str, str], ...]]:
    found = []
    while at < len(words) and (match := _ASSIGNMENT.fullmatch(words[at])):
        found.append((match[1], match[2]))
        at += 1
    return at, tuple(found)


def _option_value(words: Fields, letter: str) -> str | None:
    for at, word in enumerate(words[1:], 1):
        if word.startswith("--command="):
            return word.partition("=")[2]
        if (word == "--command" or (word.startswith("-") and not word.startswith("--") and word.endswith(letter))) and (
            at + 1 < len(words)
        ):
            return words[at + 1]
    return None


_ALIKE = names("sh bash dash ash")
"""Shells whose syntax is the one that is read here."""


def _shell(name: str, words: Fields, stdin: str | None) -> list[Inner] | None:
    prefix = "" if name in _ALIKE else f"{name} "
    at = 1
    from_option = False
    reads_stdin = other_file = False
    while at < len(words) and words[at][:1] in ("-", "+") and len(words[at]) > 1:
        word = words[at]
        at += 1
        if word == "--":
            break
        if word in ("-o", "+o", "-O", "+O"):
            at += 1
        elif word in ("--rcfile", "--init-file"):
            other_file = True
            at += 1
        elif not word.startswith("--"):
            from_option |= "c" in word[1:] and word[0] == "-"
            reads_stdin |= "s" in word[1:]
            at += word.endswith("o") and "c" not in word
    if from_option:
        return (
            [Inner(script=words[at], prefix=prefix, positional=words[at + 2 :], outer=other_file)]
            if at < len(words)
            else None
        )
    if (reads_stdin or at >= len(words) or words[at] in ("-", "/dev/stdin")) and stdin is not None:
        return [Inner(script=stdin, prefix=prefix, positional=words[at:], outer=other_file)]
    return None


def _env(words: Fields) -> list[Inner] | None:
    at = 1
    while at < len(words) and words[at].startswith("-"):
        word = words[at]
        at += 1
        if word == "--":
            break
        if word.startswith("--split-string") or (not word.startswith("--") and "S" in word):
            attached = word.partition("=")[2] if word.startswith("--") else word.partition("S")[2]
            return _env_split((attached, *words[at:]) if attached else words[at:])
        at += word in ("-u", "-C", "--unset", "--chdir")
    at, assignments = _assignments(words, at)
    return [Inner(words[at:], assignments=assignments)] if at < len(words) else None


def _env_split(words: Fields) -> list[Inner] | None:
    """``env -S`` splits its first word by rules of its own; what they have beyond plain quotes is left unread."""
    if not words or any(char in words[0] for char in "\\$#"):
        return None
    try:
        return _env(("env", *shlex.split(words[0]), *words[1:]))
    except ValueError:
        return None


def _find(words: Fields) -> list[Inner] | None:
    found: list[Inner] = []
    at = 1
    while at < len(words):
        if words[at] in ("-exec", "-execdir", "-ok", "-okdir"):
            end = at + 1
            while end < len(words) and words[end] != ";" and not (words[end] == "+" and words[end - 1] == "{}"):
                end += 1
            run = tuple(word.replace("{}", UNKNOWN) for word in words[at + 1 : end])
            if run:
                found.append(Inner(run, prefix=f"find {words[at]} ", outer=True))
            at = end
        at += 1
    return found or None


def _ssh(words: Fields) -> list[Inner] | None:
    at = _skip_options(words, 1, "BbcDEeFIiJLlmOopQRSWw")
    if at + 1 >= len(words):
        return None
    return [Inner(script=" ".join(words[at + 1 :]), prefix=f"ssh {words[at]} ", outer=at > 1)]
