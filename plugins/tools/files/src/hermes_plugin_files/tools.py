"""The tools ``read_file``, ``write_file``, ``patch`` and ``search_files``."""

from __future__ import annotations

import difflib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, cast

from hermes.contracts.errors import ToolError
from hermes.contracts.host import PluginContext
from hermes.contracts.messages import ImagePart
from hermes.contracts.terminal import CommandEvent, CommandOutput, FileInfo, RunCommand
from hermes.contracts.tool import tool

from . import envelope, matching, reading, search, syntax
from .access import Files

SEARCH_TIMEOUT = 60.0
MAX_DIFF = 6000


@tool(risk="read", effects="none", paths=("path",))
async def read_file(path: str, ctx: PluginContext, offset: int = 1, limit: int = 500) -> str | ImagePart:
    """Read a text file as numbered lines (N|text) from line offset on, or look at an image."""
    files = await Files.of(ctx)
    info = await files.existing(path)
    if info.kind != "file":
        what = "a directory: list it with search_files (mode files)" if info.kind == "directory" else "no regular file"
        raise ToolError(f"{path} is {what}.")
    shown = await reading.show(files, info, path, offset, limit)
    await files.saw(info)
    return shown


@tool(risk="write", effects="idempotent", paths=("path",))
async def write_file(path: str, content: str, ctx: PluginContext) -> str:
    """Create or replace a whole file; makes missing directories. For small changes use patch."""
    files = await Files.of(ctx)
    before = await files.stat(path)
    await files.check_fresh(before, path)
    data = content.encode("utf-8", "surrogateescape")
    await files.write(before, data)
    lines = content.count("\n") + (not content.endswith("\n") and content != "")
    done = "Created" if before.kind == "missing" else "Replaced"
    return f"{done} {path}: {_count(len(data), 'byte')}, {_count(lines, 'line')}.{_warning(path, data)}"


@tool(risk="write", effects="idempotent", paths=("path",))
async def patch(
    ctx: PluginContext,
    path: str = "",
    old: Annotated[str, "Passage to replace, unique in the file"] = "",
    new: str = "",
    replace_all: bool = False,
    patch: Annotated[str, "Instead of the rest: several files, *** Begin Patch … *** End Patch"] = "",
) -> str:
    """Replace a passage of a file. Small differences in white space and quotes are forgiven."""
    files = await Files.of(ctx)
    if patch:
        if path or old or new:
            raise ToolError("Give either patch, or path, old and new.")
        return await _apply(files, envelope.parse(patch))
    if not path:
        raise ToolError("Give path, old and new; or patch.")
    info, text = await files.text(path)
    old, new, text, ending = _unix(old), _unix(new), *_unix_lines(text)
    changed = matching.replace(text, old, new, every=replace_all, path=path)
    data = changed.replace("\n", ending).encode()
    await files.write(info, data)
    return _diff(path, text, changed) + _warning(path, data)


@tool(risk="read", effects="none", paths=("path",))
async def search_files(
    pattern: Annotated[str, "Regular expression; may be empty in mode files"],
    ctx: PluginContext,
    path: str = ".",
    glob: Annotated[str, "Only these files, e.g. *.py"] = "",
    mode: search.Mode = "content",
    context: int = 0,
    limit: int = 50,
) -> str:
    """Search file contents. Mode files: names of the files, newest first; count: matches per file."""
    files = await Files.of(ctx)
    if not pattern and mode != "files":
        raise ToolError('pattern is empty. That is for mode "files", which then lists all files that fit glob.')
    await files.existing(path)
    limit = min(max(limit, 1), search.MAX_LIMIT)
    context = min(max(context, 0), 20)
    command = search.command(pattern, path, glob, mode, context, limit)
    output, code, timed_out = await _run(files, command)
    found = search.present(output, mode=mode, glob=glob, context=context, limit=limit)
    if timed_out:
        return f"{found}\n[stopped after {SEARCH_TIMEOUT:.0f} s; narrow path or glob]".lstrip()
    if code == 2 and not found:
        raise ToolError(f"The search failed: {output.strip()[:500] or 'the pattern may be wrong.'}")
    return found or f"Nothing found for {pattern!r} in {path}" + (f" ({glob})" if glob else "")


async def _run(files: Files, command: str) -> tuple[str, int, bool]:
    request = RunCommand(terminal=files.terminal, command=command, timeout=SEARCH_TIMEOUT, fresh=True)
    pieces: list[str] = []
    code, timed_out = 0, False
    stream = cast("AsyncGenerator[CommandEvent, None]", files.backend.run(request))
    async with aclosing(stream) as events:
        async for event in events:
            if isinstance(event, CommandOutput):
                pieces.append(event.text)
            else:
                code, timed_out = event.code, event.reason == "timeout"
    return "".join(pieces), code, timed_out


async def _apply(files: Files, patches: list[envelope.FilePatch]) -> str:
    """All or, when one does not fit, none."""
    planned: list[tuple[envelope.FilePatch, FileInfo, str, str, str]] = []
    for each in patches:
        if each.action == "add":
            info, text, ending = await files.stat(each.path), "", "\n"
            if info.kind != "missing":
                raise ToolError(f"{each.path} exists. Nothing was changed; update it, or delete it first.")
            changed = envelope.added(each)
        else:
            info, whole = await files.text(each.path)
            text, ending = _unix_lines(whole)
            changed = envelope.updated(text, each) if each.action == "update" else ""
        planned.append((each, info, text, changed, ending))
    results: list[str] = []
    for each, info, text, changed, ending in planned:
        data = changed.replace("\n", ending).encode()
        if each.action == "delete":
            await files.delete(info)
            results.append(f"Deleted {each.path}.")
            continue
        written = await files.write(info, data) if changed != text or each.action == "add" else info
        results.append(_diff(each.path, text, changed) + _warning(each.path, data))
        if each.move_to:
            await files.move(written, each.move_to)
            results.append(f"Moved {each.path} to {each.move_to}.")
    return "\n".join(results)


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n")


def _unix_lines(text: str) -> tuple[str, str]:
    """The text with plain newlines, and what ends its lines. One that mixes both stays as it is."""
    crlf = text.count("\r\n")
    return (_unix(text), "\r\n") if crlf and crlf == text.count("\n") else (text, "\n")


def _diff(path: str, before: str, after: str) -> str:
    lines = list(
        difflib.unified_diff(
            before.splitlines(), after.splitlines(), f"{path} before", f"{path} after", n=2, lineterm=""
        )
    )
    text = "\n".join(lines) or f"{path}: only the newline at its end changed."
    return text if len(text) <= MAX_DIFF else f"{text[:MAX_DIFF]}\n[… {len(lines)} lines of diff in all]"


def _warning(path: str, data: bytes) -> str:
    trouble = syntax.trouble(path, data)
    return f"\nBut it is {trouble}." if trouble.startswith("not") else f"\nBut {trouble}." if trouble else ""


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit}{'' if number == 1 else 's'}"
