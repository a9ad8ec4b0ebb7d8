"""git: which subcommands only look, and which lose work."""

from __future__ import annotations

import re

from .paths import UNKNOWN, names

_LOOKING = names(
    "status log diff show rev-parse blame annotate ls-files ls-tree describe shortlog rev-list cat-file merge- "
    "base name-rev for-each-ref show-ref show-branch count-objects check-ignore whatchanged diff-tree diff-index "
    "diff-files cherry range-diff version var grep"
)
# Long options may be shortened, so what matters is how they begin.
_FORBIDDEN = re.compile(r"--ou.*|--ext.*|--text.*|--upl.*|--exe.*|-O.*|--op.*|--fil.*|-p")
_LISTS: dict[str, re.Pattern[str]] = {
    "branch": re.compile(
        r"-a|-r|-v|-vv|--all|--remotes|--list|-l|--show-current|--sort=.*|--format=.*|--contains|--merged|--no-merged|"
        r"--no-color|--color.*|--column.*"
    ),
    "tag": re.compile(r"-l|--list|-n\d*|--sort=.*|--format=.*|--contains|--merged|--points-at"),
    "remote": re.compile(r"-v|--verbose"),
    "config": re.compile(r"--get.*|--list|-l|--show-origin|--show-scope|--global|--local|--system|[\w.-]+"),
    "stash": re.compile(r"list|show|-p|--stat|stash@\{\d+\}"),
    "worktree": re.compile(r"list|--porcelain"),
    "reflog": re.compile(r"show|-n|\d+|-\d+|--all|--oneline|HEAD"),
    "submodule": re.compile(r"status|--recursive"),
    "notes": re.compile(r"list|show"),
    "symbolic-ref": re.compile(r"HEAD|--short|-q"),
}
_NEEDS: dict[str, tuple[str, ...]] = {
    "config": ("--get", "--list", "-l"),
    "stash": ("list", "show"),
    "worktree": ("list",),
    "notes": ("list", "show"),
}

_LOSSES: tuple[tuple[str, re.Pattern[str], str], ...] = (
    (
        "push",
        re.compile(r"-[a-zA-Z]*f[a-zA-Z]*|--force.*|\+.*|--mirror|--delete|-d|:.+|--prune"),
        "overwrites or deletes what is on the remote",
    ),
    ("reset", re.compile(r"--hard|--merge|--keep"), "throws away uncommitted changes"),
    ("clean", re.compile(r".*"), "deletes untracked files"),
    ("branch", re.compile(r"-[a-zA-Z]*[DdMmCcf][a-zA-Z]*|--delete|--force|--move"), "deletes or overwrites a branch"),
    ("checkout", re.compile(r"--|\.|-f|--force|-B"), "throws away uncommitted changes"),
    ("restore", re.compile(r".*"), "throws away uncommitted changes"),
    ("switch", re.compile(r"-f|--force|--discard-changes|-C"), "throws away uncommitted changes"),
    ("rebase", re.compile(r".*"), "rewrites history"),
    ("commit", re.compile(r"--amend|--fixup.*"), "rewrites history"),
    ("filter-branch", re.compile(r".*"), "rewrites history"),
    ("filter-repo", re.compile(r".*"), "rewrites history"),
    ("stash", re.compile(r"drop|clear"), "deletes stashed work"),
    ("tag", re.compile(r"-d|--delete|-f|--force"), "deletes or moves a tag"),
    ("reflog", re.compile(r"expire|delete"), "deletes what recovery needs"),
    ("gc", re.compile(r"--prune.*|--aggressive"), "deletes what recovery needs"),
    ("update-ref", re.compile(r".*"), "rewrites history"),
    ("worktree", re.compile(r"remove|prune|--force"), "deletes a working tree"),
)


def subcommand(arguments: tuple[str, ...]) -> tuple[str, tuple[str, ...], bool]:
    """The subcommand, its arguments, and whether git's own options are harmless."""
    at, plain = 0, True
    while at < len(arguments) and arguments[at].startswith("-"):
        word = arguments[at]
        if word == "-C":
            at += 1
        elif word in ("-c", "--exec-path", "--config-env"):
            plain = False
            at += 1
        elif word not in ("--no-pager", "-P", "--no-optional-locks", "--literal-pathspecs", "--version", "--help"):
            plain = False
            at += word in ("--git-dir", "--work-tree", "--namespace")
        at += 1
    if at >= len(arguments):
        return "", arguments, plain
    return arguments[at], arguments[at + 1 :], plain


def is_safe_git(arguments: tuple[str, ...]) -> bool:
    name, rest, plain = subcommand(arguments)
    if not plain or UNKNOWN in name or any(UNKNOWN in word for word in rest):
        return False
    if not name:
        return arguments in ((), ("--version",), ("--help",))
    if name in _LOOKING:
        paged = name in ("log", "show", "diff")
        return not any(_FORBIDDEN.fullmatch(word) for word in rest if not (paged and word == "-p"))
    if name == "remote" and rest[:1] in (("get-url",), ("show",)):
        return len(rest) <= 2
    pattern = _LISTS.get(name)
    if pattern is None or (name in _NEEDS and not any(word.startswith(_NEEDS[name]) for word in rest)):
        return False
    return all(pattern.fullmatch(word) for word in rest) and not (
        name == "config" and sum(not word.startswith("-") for word in rest) > 1
    )


def loss(arguments: tuple[str, ...]) -> tuple[str, str]:
    """What the command may lose, as a sentence, and the words that say so; both empty: nothing."""
    name, rest, _ = subcommand(arguments)
    for known, pattern, sentence in _LOSSES:
        if known == name:
            telling = [word for word in rest if pattern.fullmatch(word)]
            if telling or pattern.pattern == ".*":
                return sentence, " ".join(telling[:4])
    return "", ""
