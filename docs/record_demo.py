"""Runs ``make demo`` on a terminal of its own and draws what it printed as ``docs/demo.svg``."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 100
FONT, LINE, MARGIN, TITLE = 13, 18, 16, 34
CHARACTER = 7.83
"""The width of a character of the font, in pixels."""

COLOURS = {"cyan": "#79c0ff", "yellow": "#e3b341", "": "#e6edf3", "dim": "#8b949e"}
FOREGROUNDS = {"33": "yellow", "36": "cyan"}
SEQUENCE = re.compile(r"\x1b\[([0-9;]*)m")


class Span(NamedTuple):
    """Text of one look. ``colour`` is a name of `COLOURS`."""

    text: str
    colour: str = ""
    bold: bool = False


Line = list[Span]


def run_on_terminal(command: Sequence[str], *, cwd: Path, environ: Mapping[str, str]) -> str:
    """What the command prints, both descriptors, escape sequences included.

    Raises:
        RuntimeError: it ended with another code than 0.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=dict(environ)) as process:
        os.close(theirs)
        pieces = []
        try:
            while piece := os.read(ours, 65536):
                pieces.append(piece)
        except OSError:
            pass  # the other end is closed: on Linux that is an error, elsewhere the end
        finally:
            os.close(ours)
    text = b"".join(pieces).decode("utf-8", "replace").replace("\r\n", "\n")
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}:\n{text}")
    return text


def record(command: Sequence[str], folder: Path, *, cwd: Path, shown: Mapping[str, str] = {}) -> str:
    """Runs the command with an empty home under ``folder``. ``shown``: paths, and what stands for them."""
    environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm-256color", "HOME": str(folder)}
    environ |= {"HERMES_HOME": str(folder / ".hermes"), "XDG_CACHE_HOME": str(folder / "cache")}
    text = run_on_terminal(command, cwd=cwd, environ=environ)
    for path, stand_in in {**shown, str(folder): "~"}.items():
        text = text.replace(path, stand_in)
    return text.strip("\n")


def parse(text: str) -> list[Line]:
    """Lines of spans, none longer than the terminal is wide."""
    lines: list[Line] = []
    look = Span("")
    for row in text.split("\n"):
        spans: Line = []
        position = 0
        for match in SEQUENCE.finditer(row):
            spans.append(look._replace(text=row[position : match.start()]))
            look, position = _changed(look, match[1].split(";")), match.end()
        spans.append(look._replace(text=row[position:]))
        lines += _wrapped([span for span in spans if span.text])
    return lines


def _changed(look: Span, codes: Sequence[str]) -> Span:
    for code in codes:
        if code in ("", "0"):
            look = Span("")
        elif code == "1":
            look = look._replace(bold=True)
        elif code == "2":
            look = look._replace(colour="dim")
        elif code in FOREGROUNDS:
            look = look._replace(colour=FOREGROUNDS[code])
    return look


def _wrapped(spans: Line) -> list[Line]:
    lines: list[Line] = [[]]
    room = COLUMNS
    for span in spans:
        text = span.text
        while len(text) > room:
            lines[-1].append(span._replace(text=text[:room]))
            lines.append([])
            text, room = text[room:], COLUMNS
        lines[-1].append(span._replace(text=text))
        room -= len(text)
    return lines


def draw(lines: Sequence[Line], title: str) -> str:
    """An SVG of a terminal's window."""
    width = round(COLUMNS * CHARACTER) + 2 * MARGIN
    height = TITLE + len(lines) * LINE + MARGIN
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
        *(f'<circle cx="{18 + 18 * number}" cy="17" r="5" fill="#30363d"/>' for number in range(3)),
        f'<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace" '
        f'font-size="{FONT}">',
    ]
    for number, line in enumerate(lines):
        column = 0
        for span in line:
            if span.text.strip():
                drawn.append(_text(span, column, TITLE + number * LINE + FONT))
            column += len(span.text)
    return "\n".join([*drawn, "</g>", "</svg>", ""])


def _text(span: Span, column: int, y: int) -> str:
    """At its column, as long as its characters: the picture does not depend on the reader's fonts."""
    text = span.text.lstrip(" ")
    column += len(span.text) - len(text)
    text = text.rstrip(" ")
    weight = ' font-weight="bold"' if span.bold else ""
    return (
        f'<text x="{MARGIN + column * CHARACTER:.1f}" y="{y}" textLength="{len(text) * CHARACTER:.1f}" '
        f'xml:space="preserve" fill="{COLOURS[span.colour]}"{weight}>{escape(text)}</text>'
    )


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        text = record(["make", "--no-print-directory", "demo"], folder, cwd=ROOT, shown={str(ROOT): "~/hermes"})
    file = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs" / "demo.svg"
    lines = [[Span("$ ", "dim"), Span("make demo", bold=True)], *parse(text)]
    file.write_text(draw(lines, "make demo"), encoding="utf-8")
    sys.stderr.write(f"{file} written: {len(lines)} lines\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
