"""The tools ``terminal`` and ``process``."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Literal, cast

from hermes.contracts.errors import ToolError
from hermes.contracts.host import PluginContext
from hermes.contracts.scope import Principal
from hermes.contracts.store import InboxMessage
from hermes.contracts.terminal import (
    CommandEvent,
    CommandExited,
    CommandOutput,
    ProcessInfo,
    ProcessOutput,
    ProcessRef,
    ReadProcess,
    RunCommand,
    SignalProcess,
    SpawnProcess,
    TerminalBackend,
    TerminalRef,
    WriteProcess,
)
from hermes.contracts.tool import tool

from .journal import Journal, Whereabouts
from .text import Clip, clip, last_lines

MAX_TIMEOUT = 600
KILL_GRACE = 2.0
"""Seconds that a background process gets between TERM and KILL."""

NOTICE = Principal(id="hermes:terminal", name="terminal", kind="service")


@tool(risk="exec", effects="external")
async def terminal(
    command: str,
    ctx: PluginContext,
    timeout: Annotated[int, "Seconds; 0: the default, 180. At most 600"] = 0,
    background: Annotated[bool, "Return at once; for servers and long work"] = False,
    workdir: Annotated[str, "For this command only"] = "",
    pty: Annotated[bool, "Give it a terminal, for programs that want one"] = False,
    notify: Annotated[bool, "Tell when a background command ends"] = True,
) -> str:
    """Run a bash command. Directory, variables and functions last between calls; stdin is empty."""
    seconds = timeout or int((await ctx.config())["timeout"])
    if not background and not 0 < seconds <= MAX_TIMEOUT:
        raise ToolError(
            f"The timeout has to be between 1 and {MAX_TIMEOUT} seconds. For longer work use background=true, "
            "and process to look after it."
        )
    backend, info = await ctx.terminal()
    if background:
        _check(backend.capabilities.background, "run commands in the background", info.backend)
        return await _start(ctx, backend, info.id, command, workdir, pty, notify)
    if pty:
        _check(backend.capabilities.background and backend.capabilities.pty, "give a command a terminal", info.backend)
        return await _run_on_pty(ctx, backend, info.id, command, workdir, seconds)
    clipped = Clip()
    end: CommandExited | None = None
    request = RunCommand(terminal=info.id, command=command, timeout=seconds, cwd=workdir)
    stream = cast("AsyncGenerator[CommandEvent, None]", backend.run(request))
    async with aclosing(stream) as events:
        async for event in events:
            if isinstance(event, CommandOutput):
                clipped.add(event.text)
                await ctx.output(event.text)
            else:
                end = event
    if end is None:
        raise ToolError(f'The terminal backend "{info.backend}" did not say how the command ended.')
    journal: Journal = await ctx.provider("terminal_journal", "terminal")
    moved = (await journal.moved(Whereabouts(terminal=info.id, cwd=end.cwd, start=info.cwd))).yes
    return _result(clipped.text(), _ending(end, seconds), f"[now in {end.cwd}]" if moved else "")


def _check(can: bool, what: str, backend: str) -> None:
    if not can:
        raise ToolError(f'The terminal backend "{backend}" cannot {what}.')


def _result(output: str, *notes: str) -> str:
    return "\n".join([part for part in (output.rstrip("\n"), *notes) if part]) or "(no output)"


def _ending(end: CommandExited, seconds: int) -> str:
    if end.reason == "timeout":
        return f"[timed out after {seconds} s; the process group was killed]"
    code = f"[exit {end.code}]" if end.code else ""
    if end.reason == "shell_lost":
        lost = "[the command ended the shell; the next one keeps its directory and exported variables, nothing else]"
        return f"{code}\n{lost}".strip()
    return f"[killed] {code}".strip() if end.reason == "killed" else code


async def _start(
    ctx: PluginContext, backend: TerminalBackend, terminal: str, command: str, workdir: str, pty: bool, notify: bool
) -> str:
    if pty:
        _check(backend.capabilities.pty, "give a process a terminal", terminal)
    started = await backend.spawn(SpawnProcess(terminal=terminal, command=command, cwd=workdir, pty=pty))
    if notify:
        ctx.spawn(_announce_end(ctx, backend, terminal, started.id), f"wait for {started.id}")
    told = " You are told when it ends." if notify else ""
    return f'Started in the background: process "{started.id}", pid {started.pid}.{told}'


async def _announce_end(ctx: PluginContext, backend: TerminalBackend, terminal: str, process: str) -> None:
    assert ctx.call is not None
    read = ReadProcess(terminal=terminal, process=process, wait=3600.0)
    while (output := await backend.read_process(read)).info.running:
        pass
    journal: Journal = await ctx.provider("terminal_journal", "terminal")
    if (await journal.end_known(ProcessRef(terminal=terminal, process=process))).yes:
        return
    lines = last_lines(output.text, 20)
    text = f"[{_status(output.info)}: {output.info.command}]" + (f"\nIts last lines:\n{lines}" if lines else "")
    await ctx.sessions.inject(
        InboxMessage(session_id=ctx.call.session_id, text=text, principal=NOTICE, steer=True, at=ctx.clock.now())
    )


async def _run_on_pty(
    ctx: PluginContext, backend: TerminalBackend, terminal: str, command: str, workdir: str, seconds: int
) -> str:
    """In the foreground as the model sees it: a process that is waited for, and killed at the end of its time."""
    started = await backend.spawn(SpawnProcess(terminal=terminal, command=command, cwd=workdir, pty=True))
    clipped, offset, deadline = Clip(), 0, ctx.clock.monotonic() + seconds
    ended = False
    try:
        while not ended and (left := deadline - ctx.clock.monotonic()) > 0:
            piece = await backend.read_process(
                ReadProcess(terminal=terminal, process=started.id, offset=offset, wait=min(left, 0.5))
            )
            clipped.add(piece.text)
            if piece.text:
                await ctx.output(piece.text)
            offset, ended = piece.offset, not piece.info.running
    finally:
        if not ended:
            await backend.signal_process(SignalProcess(terminal=terminal, process=started.id, signal="KILL"))
    if not ended:
        return _result(clipped.text(), f"[timed out after {seconds} s; the process group was killed]")
    code = piece.info.exit_code
    return _result(clipped.text().replace("\r\n", "\n"), f"[exit {code}]" if code else "")


@tool(risk="exec", effects="external")
async def process(
    action: Literal["list", "poll", "log", "wait", "write", "close", "kill"],
    ctx: PluginContext,
    id: str = "",  # noqa: A002 (the name that models know)
    text: Annotated[str, "For write, sent as it is: end a line with \\n"] = "",
    timeout: Annotated[int, "For wait, in seconds"] = 60,
) -> str:
    """Look after background processes: poll for state and last lines, log for all output, close to end its input."""
    backend, info = await ctx.terminal()
    if action == "list":
        found = (await backend.processes(TerminalRef(terminal=info.id))).processes
        return "\n".join(f"{_status(entry)}, pid {entry.pid}: {entry.command}" for entry in found) or "No processes."
    if not id:
        raise ToolError(f'"{action}" needs the id of a process; list shows them.')
    match action:
        case "write" | "close":
            eof = action == "close"
            await backend.write_process(WriteProcess(terminal=info.id, process=id, text=text, eof=eof))
            return "Input closed." if eof else f"Wrote {len(text)} characters."
        case "kill":
            return await _kill(ctx, backend, info.id, id)
    wait = float(min(max(timeout, 0), MAX_TIMEOUT)) if action == "wait" else 0.0
    output = await _read(ctx, backend, info.id, id, wait)
    if action == "log":
        lost = f"[the first {output.lost:,} bytes are no longer kept]\n" if output.lost else ""
        return _result(lost + clip(output.text), f"[{_status(output.info)}]")
    return _result(last_lines(output.text, 20), f"[{_status(output.info)}]")


async def _read(
    ctx: PluginContext, backend: TerminalBackend, terminal: str, process: str, wait: float
) -> ProcessOutput:
    """What it wrote. Who sees here that it has ended is not told once more."""
    output = await backend.read_process(ReadProcess(terminal=terminal, process=process, wait=wait))
    if not output.info.running:
        await _end_is_known(ctx, terminal, process)
    return output


async def _end_is_known(ctx: PluginContext, terminal: str, process: str) -> None:
    journal: Journal = await ctx.provider("terminal_journal", "terminal")
    await journal.saw_end(ProcessRef(terminal=terminal, process=process))


async def _kill(ctx: PluginContext, backend: TerminalBackend, terminal: str, process: str) -> str:
    before = await _read(ctx, backend, terminal, process, 0.0)
    if not before.info.running:
        return f"It had ended already: {_status(before.info)}."
    await _end_is_known(ctx, terminal, process)
    await backend.signal_process(SignalProcess(terminal=terminal, process=process, signal="TERM"))
    after = await backend.read_process(ReadProcess(terminal=terminal, process=process, wait=KILL_GRACE))
    if after.info.running:
        await backend.signal_process(SignalProcess(terminal=terminal, process=process, signal="KILL"))
        after = await backend.read_process(ReadProcess(terminal=terminal, process=process, wait=KILL_GRACE))
    return f"Killed: {_status(after.info)}."


def _status(info: ProcessInfo) -> str:
    if info.running:
        return f'process "{info.id}" running for {max(0, time.time() - info.started):.0f} s'
    code = info.exit_code or 0
    how = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return f'process "{info.id}" {how}'
