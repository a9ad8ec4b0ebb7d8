"""What a person is told before they agree: what it is, where from, what it does, what it may do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hermes.plugins.lock import LockedPlugin
from hermes.plugins.manifest import GUARD_HOOKS, Manifest, Permissions
from hermes.plugins.sandbox import enforcement, explain

from .indexes import provided
from .staging import Listing, differences
from .text import plain

_FILES_SHOWN = 20


def summary(locked: LockedPlugin, manifest: Manifest, signed: str) -> Iterator[str]:
    """Lines about a plugin that is to be installed."""
    yield f"{locked.name} {plain(locked.version) or '(no version)'}: {plain(manifest.description) or 'no description'}"
    facts = {
        "source": locked.source if locked.source == locked.url else f"{locked.source} ({locked.url})",
        "commit": locked.commit,
        "SHA-256": locked.sha256 or locked.tree,
        "signature": signed,
        **provisions(manifest),
        "needs": ", ".join(locked.requirements),
    }
    for name, value in facts.items():
        if value:
            yield f"  {name + ':':11} {plain(value, 2000)}"
    if locked.url.startswith(("http://", "git://")):
        yield "  careful:    it was fetched without encryption: anybody on the way could have changed it"
    yield from may(manifest)


def provisions(manifest: Manifest) -> dict[str, str]:
    """Lines of what it brings, by contract; hooks last, guards named as such."""
    told = {contract: _names(names) for contract, names in provided(manifest).items()}
    told["hooks"] = ", ".join(
        f"{hook} (a guard: it decides what may happen)" if hook in GUARD_HOOKS else hook for hook in manifest.hooks
    )
    told["contracts"] = _names(sorted(manifest.contracts))
    told["options"] = ", ".join(f"--{name}" for name in manifest.options)
    if manifest.group:
        told["group"] = f"{manifest.group}: it shares a process with those of its group and equal permissions"
    if manifest.required:
        told["required"] = "Hermes does not start without it"
    return {name: value for name, value in told.items() if value}


def _names(names: Any) -> str:
    return ", ".join(str(name) for name in names) if isinstance(names, list) else str(names)


def may(manifest: Manifest, title: str = "It may:") -> Iterator[str]:
    """The permissions as sentences, and what of them is enforced here."""
    told = explain(manifest.permissions)
    yield f"  {title}" if told else "  It may do nothing outside its own folder."
    for sentence in told:
        yield f"    - {plain(sentence)}"
    if missing := enforcement():
        yield f"  careful:    {missing}"


def change(old: LockedPlugin, new: LockedPlugin, before: Manifest | None, after: Manifest) -> Iterator[str]:
    """Lines of how an update differs from what is installed, but for its permissions and files."""
    for name, was, now in (
        ("version", old.version, new.version),
        ("source", old.source, new.source),
        ("commit", old.commit, new.commit),
        ("needs", ", ".join(old.requirements), ", ".join(new.requirements)),
    ):
        if was != now:
            yield f"  {name + ':':11} {plain(was, 2000) or 'none'} -> {plain(now, 2000) or 'none'}"
    was_told, now_told = provisions(before) if before else {}, provisions(after)
    for name in {**was_told, **now_told}:
        if was_told.get(name) != now_told.get(name):
            yield f"  {name + ':':11} {plain(was_told.get(name, 'none'))} -> {plain(now_told.get(name, 'none'))}"


def permission_change(old: Permissions, new: Permissions) -> Iterator[str]:
    for title, sentences in (
        ("It may now also:", explain(new.beyond(old))),
        ("It may no longer:", explain(old.beyond(new))),
    ):
        if sentences:
            yield f"  {title}"
            yield from (f"    - {plain(sentence)}" for sentence in sentences)


def file_change(old: Listing, new: Listing) -> Iterator[str]:
    told = differences(old, new)
    yield f"  {len(told)} file(s) differ:" if told else "  No file differs."
    yield from (f"    {plain(line)}" for line in told[:_FILES_SHOWN])
    if len(told) > _FILES_SHOWN:
        yield f"    … and {len(told) - _FILES_SHOWN} more"
