"""A small process that outlives us by a moment, to end what we started when we die without a word."""

from __future__ import annotations

import os
import subprocess

# It reads session ids, "+4711" or "-4711", until we are gone: then its input ends, whatever killed us. The marker
# finds what has left its session. Rounds, because what is being killed may fork meanwhile.
_SCRIPT = r"""
trap '' INT TERM HUP
marker=$1 folder=$2
declare -A sessions
while read -r line; do
  case $line in +*) sessions[${line#+}]=1 ;; -*) unset "sessions[${line#-}]" ;; esac
done
for round in 1 2 3 4 5 6 7 8; do
  found=
  for file in /proc/[0-9]*/stat; do
    read -r line 2>/dev/null <"$file" || continue
    pid=${file#/proc/} pid=${pid%/stat}
    set -- ${line##*) }
    [[ $1 != Z && -n ${sessions[$4]-} ]] && kill -KILL "$pid" && found=1
  done
  for file in $(grep -lszF -- "$marker" /proc/[0-9]*/environ); do
    pid=${file#/proc/} pid=${pid%/environ}
    kill -KILL "$pid" && found=1
  done
  [[ $found ]] || break
done
rm -rf -- "$folder"
"""


class Reaper:
    """Ends the sessions it was told of, what carries ``marker`` in its environment, and removes ``folder``.

    It does so when this process is gone, however it went. It needs /proc and bash 4; without them a shell
    still ends with its input, but not what it started. Whoever kills the reaper too gets rid of this.
    """

    def __init__(self, shell: str, marker: str, folder: str) -> None:
        self._command = ["bash", "--norc", "--noprofile", "-c", _SCRIPT, "hermes-reaper", marker, folder]
        self._shell = shell
        self._sink = -1
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, session: int) -> None:
        if self._process is None:
            self._start()
        self._write(f"+{session}\n")

    def forget(self, session: int) -> None:
        self._write(f"-{session}\n")

    def close(self) -> None:
        """It has nothing to do any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            os.close(self._sink)
            self._process = None

    def _start(self) -> None:
        source, self._sink = os.pipe()
        os.set_blocking(self._sink, False)
        try:
            self._process = subprocess.Popen(
                self._command,
                executable=self._shell,
                stdin=source,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={"PATH": os.environ.get("PATH", os.defpath)},
                cwd="/",
            )
        except BaseException:
            os.close(self._sink)
            raise
        finally:
            os.close(source)

    def _write(self, line: str) -> None:
        try:
            os.write(self._sink, line.encode())
        except OSError:
            pass  # Somebody killed or stopped it: it is a safety net, and the work goes on without.
