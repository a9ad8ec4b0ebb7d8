"""A command in a bash of its own, apart from the persistent one."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from hermes.contracts.terminal import CommandEvent, CommandExited, RunCommand

from . import proctable
from .running import TIMED_OUT, Running, end_all, exit_code
from .sessions import Sessions
from .shell import Shell
from .wires import watch_exit


async def run_fresh(
    command: RunCommand, program: str, env: Mapping[str, str], shell: Shell, sessions: Sessions
) -> AsyncGenerator[CommandEvent, None]:
    """``shell`` is the terminal's: it keeps its directory, and reads what is left behind in the background."""
    process, output = _start(command, program, env)

    def started() -> list[proctable.Entry]:
        return proctable.family({process.pid})

    async def stop() -> None:
        await end_all(started)
        await running.ended.wait()

    def ended(code: int) -> None:
        sessions.left(process.pid)
        running.finish(code)

    sessions.add(process.pid)
    running = Running(output, command.timeout, stop)
    watch_exit(process, ended)
    try:
        async with aclosing(running.output()) as pieces:
            async for piece in pieces:
                yield piece
    finally:
        shell.keep_leftover(running)
    if running.timed_out:
        yield CommandExited(code=TIMED_OUT, cwd=shell.cwd, reason="timeout")
    else:
        killed = running.code < 0
        yield CommandExited(code=exit_code(running.code), cwd=shell.cwd, reason="killed" if killed else "exited")


def _start(command: RunCommand, program: str, env: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and the descriptor that its output comes from."""
    output, sink = os.pipe()
    try:
        with tempfile.TemporaryFile() if command.stdin else open(os.devnull, "rb") as source:
            if command.stdin:
                source.write(command.stdin.encode("utf-8", "surrogateescape"))
                source.seek(0)
            process = subprocess.Popen(
                ["bash", "--norc", "--noprofile", "-c", command.command],
                executable=program,
                stdin=source,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=command.cwd,
                env=dict(env),
                start_new_session=True,
            )
    except BaseException:
        os.close(output)
        raise
    finally:
        os.close(sink)
    return process, output
