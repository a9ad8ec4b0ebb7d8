"""Runs a program for a plugin: with little in its environment, and for a limited time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections.abc import Mapping, Sequence

from hermes.config.home import host_environment
from hermes.contracts.errors import PluginError

PASSED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"}
)
"""Variables that the program sees; none of them is a secret."""
_MARK = re.compile(r"^(?:Error: |\[ERROR\] (?:\d{4}/\d\d/\d\d \d\d:\d\d:\d\d )?)")
"""What programs write before their complaint."""


async def program_answer(
    command: Sequence[str], *, plugin: str, hint: str, seconds: float, secrets: Mapping[str, str] | None = None
) -> bytes:
    """What a program prints. It and all that it started are ended after ``seconds``.

    ``secrets`` are variables for it alone; ``plugin`` and ``hint`` are the error's: whose it is, and what to do.

    Raises:
        PluginError: it is not there, failed or took too long. The sentence has none of ``secrets``, and nothing of
            what the program printed to its standard output.
    """
    name, secrets = command[0], secrets or {}
    program = shutil.which(name)
    if program is None:
        raise PluginError(f"The program {name} is not installed.", plugin=plugin, hint=hint)
    environment = {key: value for key, value in host_environment().items() if key in PASSED or key.startswith("LC_")}
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *command[1:],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**environment, **secrets},
            start_new_session=True,
        )
    except OSError as error:
        raise PluginError(f"{program} cannot be run: {error.strerror}.", plugin=plugin, hint=hint) from None
    try:
        async with asyncio.timeout(seconds):
            printed, complaint = await process.communicate()
    except TimeoutError:
        raise PluginError(f"{name} did not answer within {seconds:g} seconds.", plugin=plugin, hint=hint) from None
    finally:
        await _end(process)
    if process.returncode:
        told = _told(complaint, secrets) or f"exit code {process.returncode}"
        raise PluginError(f"{name} failed: {told}", plugin=plugin, hint=hint)
    return printed


async def _end(process: asyncio.subprocess.Process) -> None:
    """Also what it started; nothing happens if it has ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _told(complaint: bytes, secrets: Mapping[str, str]) -> str:
    """The first line of a complaint, fit to be shown."""
    lines = [line.strip() for line in complaint.decode(errors="replace").splitlines() if line.strip()]
    text = "".join(char for char in (lines or [""])[0] if char.isprintable())
    for value in secrets.values():
        text = text.replace(value, "…")
    return _MARK.sub("", text)[:300]
