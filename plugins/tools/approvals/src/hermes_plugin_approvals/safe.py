"""Commands that only look: they run unasked, as far as their arguments let them do no more than that."""

from __future__ import annotations

import re
from collections.abc import Callable

from .paths import UNKNOWN, is_secret, names
from .script import Command, Redirect

_HARMLESS = names(
    "echo true false : pwd whoami uname sleep seq basename dirname test [ uptime arch nproc tty groups logname "
    "users who cal factor break continue exit return shift times type which whereis id tput clear"
)
"""Whatever their arguments, they read no file and change nothing."""

_READERS = names(
    "ls cat head tail wc nl tac rev cut tr paste join comm fold fmt expand unexpand column od hexdump strings "
    "stat du df free lsblk lscpu diff cmp md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum cksum "
    "sum realpath readlink base64 base32 grep egrep fgrep jq zcat bzcat xzcat zgrep pgrep pidof locale getconf "
    "dir vdir numfmt tsort"
)
"""They read files and change nothing, whatever their options."""

_NO_OPTIONS: dict[str, re.Pattern[str]] = {
    "sort": re.compile(r"-[A-Za-z]*[oT].*|--[oct].*"),
    "tree": re.compile(r"-[A-Za-z]*[oR].*|--output.*"),
    "file": re.compile(r"-[A-Za-z]*C.*|--c.*"),
    "date": re.compile(r"-[A-Za-z]*s.*|--s.*|\d.*"),
    "rg": re.compile(r"--pre.*|--hostname-bin.*|-[A-Za-z]*z.*|--search-zip"),
    "fd": re.compile(r"-[A-Za-z]*[xX].*|--exec.*"),
    "expr": re.compile(r"(?!)"),
    "find": re.compile(r"-(?:delete|fprint|fprint0|fprintf|fls|files0-from)"),
    "ps": re.compile(r"[A-Za-z]*e[A-Za-z]*"),
    "hostname": re.compile(r"[^-].*|-[bF].*|--[bf].*"),
    "yq": re.compile(r"-[A-Za-z]*i.*|--inplace|--in-place|-s.*|--split.*"),
    "wait": re.compile(r"-.*p.*"),
    "jobs": re.compile(r"-.*x.*"),
    "hash": re.compile(r"-.*p.*"),
    "dirs": re.compile(r"-c"),
}
"""Safe without the options that match. What ``find`` executes is judged as a command of its own."""

_ONE_OPERAND = frozenset({"uniq", "xxd"})
"""A second operand is the file that they write."""

_VERSIONED = names(
    "python python3 pip pip3 node npm npx yarn pnpm bun deno ruby gem perl php java javac go rustc cargo gcc g++ "
    "clang make cmake git docker kubectl helm terraform aws gcloud az gh uv poetry pytest ruff mypy tsc bash zsh "
    "sh tar curl wget ssh rsync jq rg fd find sed awk gawk vim nvim emacs code psql mysql sqlite3 redis-cli "
    "ffmpeg convert systemctl"
)
_VERSION_COMMANDS = frozenset(
    {
        ("go", "version"),
        ("docker", "version"),
        ("git", "version"),
        ("java", "-version"),
        ("javac", "-version"),
        ("ffmpeg", "-version"),
        ("convert", "-version"),
        ("python", "-V"),
        ("python3", "-V"),
        ("ssh", "-V"),
        ("node", "-v"),
        ("npm", "-v"),
        ("perl", "-v"),
        ("ruby", "-v"),
        ("php", "-v"),
    }
)

_SYSTEM_FOLDERS = names("/bin /usr/bin /sbin /usr/sbin /usr/local/bin /opt/homebrew/bin")

_HARMLESS_VARIABLES = names(
    "LC_ALL LC_CTYPE LC_COLLATE LC_NUMERIC LC_TIME LC_MESSAGES LANG LANGUAGE TZ COLUMNS LINES TERM NO_COLOR "
    "FORCE_COLOR CLICOLOR CI DEBUG VERBOSE PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE"
)
_QUIET_PAGERS = frozenset({("PAGER", "cat"), ("GIT_PAGER", "cat"), ("GIT_PAGER", ""), ("PAGER", "")})

_COMMANDING = re.compile(
    r"PATH|HOME|IFS|ENV|BASH.*|PROMPT.*|PS\d|CDPATH|LD_.*|DYLD_.*|SHELL.*|EDITOR|VISUAL|.*PAGER|GIT_.*|SSH_.*|PYTHON.*|NODE_.*|"
    r"NPM_.*|PERL.*|RUBY.*|GEM_.*|JAVA.*|CLASSPATH|JDK_.*|(?i:.*_proxy)|LESS.*|MAN.*|HERMES.*|XDG_.*|TMPDIR|USER|LOGNAME|HIST.*|"
    r"EXECIGNORE|GLOBIGNORE|FIGNORE|TAR_.*|GREP_.*|RIPGREP.*|CC|CXX|.*FLAGS|MAKE.*|AWS_.*|DOCKER_.*|KUBECONFIG|TERM|DISPLAY"
)

_SED_SCRIPT = re.compile(
    r"(?:\d+|\$|/[^/\n]*/)?(?:,(?:\d+|\$|\+\d+|/[^/\n]*/))?!?[pdq=]"
    r"|(?:\d+,?(?:\d+|\$)?)?s([/|,#@])(?:(?!\1)[^\n\\]|\\[^\n])*\1(?:(?!\1)[^\n\\]|\\[^\n])*\1[gpI0-9]*"
)
_AWK_DANGER = re.compile(r"system|getline|[|>@`]|\bprintf?\s*>|ENVIRON|close|fflush|load|include")


def is_harmless_assignment(name: str, value: str) -> bool:
    """A variable that changes what no program does. Lower-case names are the script's own."""
    return (
        name in _HARMLESS_VARIABLES
        or (name, value) in _QUIET_PAGERS
        or (name.islower() and not name.endswith("_proxy"))
    )


def may_be_set(name: str) -> bool:
    """A shell variable may be set unasked unless a program, or the shell, takes orders from it."""
    return _COMMANDING.fullmatch(name) is None


def is_safe(command: Command) -> bool:
    folder, slash, program = command.words[0].rpartition("/")
    assignments = [pair for pair in command.assignments if not (program == "read" and pair[0] == "IFS")]
    if command.prefix or not all(is_harmless_assignment(*pair) for pair in assignments):
        return False
    if slash and folder not in _SYSTEM_FOLDERS:
        return False
    arguments = command.words[1:]
    if program in _HARMLESS:
        return program not in ("test", "[") or _tests(arguments)
    if program == "printf":
        return arguments[:1] != ("-v",)
    if reads_secret(command):
        return False
    if (check := CHECKS.get(program)) is not None:
        return check(arguments)
    if (program in _VERSIONED and arguments == ("--version",)) or (program, *arguments) in _VERSION_COMMANDS:
        return True
    if any(UNKNOWN in word for word in arguments):
        return False
    if program in _READERS:
        return not _searches_home(command)
    if program in _ONE_OPERAND:
        return sum(not word.startswith("-") for word in arguments) <= 1
    if (forbidden := _NO_OPTIONS.get(program)) is not None:
        named_by_files = program != "find" and any(word and not word.strip("*?") for word in arguments)
        return not (named_by_files or any(map(forbidden.fullmatch, arguments)) or _searches_home(command))
    return False


def _searches_home(command: Command) -> bool:
    """A search through everything under a home directory, or the root, finds secrets too."""
    if command.program not in ("grep", "egrep", "fgrep", "zgrep", "rg"):
        return False
    recursive = command.program == "rg" or any(
        re.fullmatch(r"-[A-Za-z]*[rR][A-Za-z]*|--(dereference-)?recursive|--directories=recurse", word)
        for word in command.words[1:]
    )
    return recursive and any(_holds_a_home(path) for word in command.words[1:] for path in command.paths(word))


def _holds_a_home(path: str) -> bool:
    parts = [part for part in path.split("/") if part]
    return parts in ([], ["\1"], ["home"], ["root"], ["Users"], ["proc"]) or (
        len(parts) == 2 and parts[0] in ("home", "Users", "proc")
    )


_LISTERS = names("ls dir vdir find fd stat du df realpath readlink tree pgrep pidof lsblk ps")
"""They tell of files, not what is in them."""

_PATTERN_FIRST = names("grep egrep fgrep zgrep rg jq yq sed awk gawk mawk")
"""Their first operand is no path."""


def reads_secret(command: Command) -> str:
    """The first argument that leads to credentials; empty: none does."""
    if command.program in _LISTERS:
        return ""
    words = list(command.words[1:])
    if command.program in _PATTERN_FIRST and not any(
        re.match(r"-[A-Za-z]*[ef]|--(?:file|from|regexp)", word) for word in words
    ):
        operand = next((at for at, word in enumerate(words) if not word.startswith("-")), len(words))
        del words[operand : operand + 1]
    for word in words:
        for text in {word, word.partition("=")[2], word.rpartition(":")[2], word.lstrip("@")} - {""}:
            if any(is_secret(path) for path in command.paths(text)):
                return word
    return ""


def _tests(arguments: tuple[str, ...]) -> bool:
    """``-v`` evaluates a subscript, and runs what is in it; an unknown word may be a ``-v``."""
    return not any(word == "-v" or UNKNOWN in word or "$(" in word or "`" in word for word in arguments)


def is_safe_redirect(redirect: Redirect) -> bool:
    if redirect.writes:
        return redirect.path in ("/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty")
    return UNKNOWN not in redirect.path and not any(
        is_secret(path) or path.startswith(("/dev/tcp/", "/dev/udp/")) for path in redirect.paths()
    )


def _assigns(arguments: tuple[str, ...]) -> bool:
    """``export``, ``declare`` …: options, and names with harmless values."""
    for word in arguments:
        name, equals, value = word.partition("=")
        if word.startswith("-") and not equals:
            if set(word[1:]) - set("xgriaAp"):
                return False
        elif not word.startswith("-") and not is_harmless_assignment(name, value):
            return False
    return True


def _cd(arguments: tuple[str, ...]) -> bool:
    return not any(UNKNOWN in word for word in arguments)


def _set(arguments: tuple[str, ...]) -> bool:
    return bool(arguments) and (
        arguments[0] == "--"
        or all(re.fullmatch(r"[-+][euxvfo]+|pipefail|errexit|nounset|xtrace", word) for word in arguments)
    )


def _read(arguments: tuple[str, ...]) -> bool:
    return all(re.fullmatch(r"-[rs]*[dpntN]?|[a-z_][a-z0-9_]*|[\d.]*|[:\n,]|", word) for word in arguments)


def _unset(arguments: tuple[str, ...]) -> bool:
    return all(re.fullmatch(r"-[fv]|[a-z_][a-z0-9_]*", word) for word in arguments)


def _command(arguments: tuple[str, ...]) -> bool:
    return arguments[:1] in (("-v",), ("-V",))


def _sed(arguments: tuple[str, ...]) -> bool:
    words = list(arguments)
    while words and re.fullmatch(r"-[nErsuz]+|--quiet|--silent|--regexp-extended|--posix", words[0]):
        words.pop(0)
    if not words or any(UNKNOWN in word for word in words):
        return False
    scripts = [words[0]]
    if words[0] == "-e":
        scripts = [word for at, word in enumerate(words) if at and words[at - 1] == "-e"]
        words = ["", *(word for at, word in enumerate(words) if word != "-e" and (at == 0 or words[at - 1] != "-e"))]
    if any(word.startswith("-") for word in words[1:]):
        return False
    return all(_SED_SCRIPT.fullmatch(script.strip()) for script in scripts)


def _awk(arguments: tuple[str, ...]) -> bool:
    words = list(arguments)
    while words and words[0].startswith("-F"):
        words = words[2:] if words[0] == "-F" else words[1:]
    if not words or words[0].startswith("-") or any(UNKNOWN in word for word in words):
        return False
    return _AWK_DANGER.search(words[0]) is None and not any(word.startswith("-") for word in words[1:])


def _pip(arguments: tuple[str, ...]) -> bool:
    return arguments[:1] in (("list",), ("show",), ("freeze",), ("check",), ("--version",), ("-V",)) and not any(
        UNKNOWN in word or word.startswith(("--log", "--config", "--python")) for word in arguments
    )


def _git(arguments: tuple[str, ...]) -> bool:
    from .git import is_safe_git

    return is_safe_git(arguments)


CHECKS: dict[str, Callable[[tuple[str, ...]], bool]] = {
    "cd": _cd,
    "pushd": _cd,
    "popd": _cd,
    "set": _set,
    "read": _read,
    "unset": _unset,
    "command": _command,
    "sed": _sed,
    "awk": _awk,
    "gawk": _awk,
    "mawk": _awk,
    "pip": _pip,
    "pip3": _pip,
    "git": _git,
    **dict.fromkeys(("export", "declare", "typeset", "local", "readonly"), _assigns),
}
