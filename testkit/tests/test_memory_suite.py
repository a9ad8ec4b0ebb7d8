"""A memory that behaves passes its suite, here and in a plugin host; one that breaks a behaviour fails that one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hermes_testkit.behaviours import behaviours, failures
from hermes_testkit.memory_suite import MemorySuite

REFERENCE = Path(__file__).parent / "reference" / "file_memory"
SOURCES = {path.name: path.read_text() for path in REFERENCE.glob("*.*")}


class FileMemory(MemorySuite):
    plugin = "file-memory"
    name = "file"
    files = SOURCES


class TestFileMemory(FileMemory):
    pass


READ_OWN = "self._read(self._file({}))"
READ_ALL = "[entry for file in sorted(self._folder.iterdir()) for entry in self._read(file)]"

WRONG = {
    "fails where there is nothing": (
        "if not file.exists():\n            return []",
        "pass",
        "MEMORY-EMPTY-1",
    ),
    "blocks that change": ('text="\\n".join(known[-20:])', "text=str(self._clock.monotonic())", "MEMORY-BLOCKS-1"),
    "blocks without a name": ('SystemBlock(name="memory"', 'SystemBlock(name=""', "MEMORY-BLOCKS-1"),
    "knows one session": (
        "if score := len(wanted & terms(entry.text)):",
        "if (score := len(wanted & terms(entry.text))) and entry.source == query.memory.session_id:",
        "MEMORY-RECALL-1",
    ),
    "slow": (
        "wanted = terms(query.text)",
        "wanted = terms(query.text)\n        import asyncio\n        await asyncio.sleep(10 * (query.deadline < 1))",
        "MEMORY-RECALL-2",
    ),
    "talkative": ("if left < 0:", "if not query:", "MEMORY-RECALL-3"),
    "no sources": ("source=turn.memory.session_id", 'source=""', "MEMORY-RECALL-4"),
    "worst first": ("-entry.score", "entry.score", "MEMORY-RECALL-5"),
    "texts only": (
        "text = text_of(message.parts)",
        'text = "".join(part.text for part in message.parts)',
        "MEMORY-OBSERVE-1",
    ),
    "one at a time": (
        'with file.open("ab") as out:\n            out.write(b"".join(lines))',
        "old = file.read_bytes() if file.exists() else b''\n        import asyncio\n        await asyncio.sleep(0)\n"
        '        file.write_bytes(old + b"".join(lines))',
        "MEMORY-OBSERVE-2",
    ),
    "recalls for all": (READ_OWN.format("query.memory"), READ_ALL, "MEMORY-PRINCIPAL-1"),
    "exports for all": (
        f"entry in {READ_OWN.format('memory')}:\n            yield",
        f"entry in {READ_ALL}:\n            yield",
        "MEMORY-PRINCIPAL-1",
    ),
    "one block for all": (f"entry in {READ_OWN.format('memory')}]", f"entry in {READ_ALL}]", "MEMORY-PRINCIPAL-1"),
    "never forgets all": ("if request.ids and entry.id", "if entry.id", "MEMORY-FORGET-1"),
    "forgets all": ("if request.ids and entry.id not in request.ids", "if False", "MEMORY-FORGET-2"),
    "forgets for others": (
        "file = self._file(request.memory)\n",
        "for other in self._folder.iterdir() if request.ids else ():\n"
        "            self._write(other, [entry for entry in self._read(other) if entry.id not in request.ids])\n"
        "        file = self._file(request.memory)\n",
        "MEMORY-FORGET-3",
    ),
    "exports a page": (
        f"in {READ_OWN.format('memory')}:\n",
        f"in {READ_OWN.format('memory')}[-100:]:\n",
        "MEMORY-EXPORT-1",
    ),
    "forgets on switching": (
        "async def switch(self, memory):",
        "async def switch(self, memory):\n        self._write(self._file(memory), [])",
        "MEMORY-SWITCH-1",
    ),
    "silent before compression": ("return MemoryBlocks()", "return None", "MEMORY-COMPRESS-1"),
    "tools without a schema": ('parameters={"type": "object", ', "parameters={", "MEMORY-TOOLS-1"),
    "drops what is rare": ("text=text,", 'text=text.replace("\\U0001d54f", "X"),', "MEMORY-UNICODE-1"),
    "words with spaces": (' if word > "\\u3040" else {word}', ' if word == " " else {word}', "MEMORY-UNICODE-2"),
    "keeps nothing": (
        "self._folder = folder",
        "self._folder = folder / str(clock.monotonic())\n        self._folder.mkdir()",
        "MEMORY-RESTART-1",
    ),
}


def wrong_suite(wrong: str) -> tuple[type[FileMemory], str]:
    """The suite over a wrong memory, and the behaviour that it breaks."""
    piece, replacement, expected = WRONG[wrong]
    assert SOURCES["__init__.py"].count(piece) == 1
    files = {**SOURCES, "__init__.py": SOURCES["__init__.py"].replace(piece, replacement)}
    return type("Wrong", (FileMemory,), {"files": files, "grace": 1.5, "patience": 0.3}), expected


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_found(wrong: str, tmp_path: Path) -> None:
    suite, expected = wrong_suite(wrong)
    assert set(failures(suite, tmp_path)) == {expected}


def test_what_is_wrong_is_found_in_a_host_too(tmp_path: Path) -> None:
    suite, expected = wrong_suite("recalls for all")
    assert set(failures(suite, tmp_path, place="in_host")) == {expected}


def test_every_behaviour_is_broken_by_something_wrong() -> None:
    assert {expected for _, _, expected in WRONG.values()} == set(behaviours(MemorySuite))
