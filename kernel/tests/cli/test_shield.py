"""A command that the agent runs cannot read the agent's own environment."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import os, subprocess
from hermes.cli.session import _hide_environment
_hide_environment()
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)
    _hide_environment()
print(subprocess.run(["cat", f"/proc/{os.getpid()}/environ"], capture_output=True).returncode)
"""


def test_children_cannot_read_the_environment_of_the_command_line() -> None:
    environ = {**os.environ, "SOME_API_KEY": "secret"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environ, check=True)
    assert done.stdout.strip() == "1"
