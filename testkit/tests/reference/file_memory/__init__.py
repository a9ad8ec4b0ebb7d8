"""A memory in files: one for each person, a line of JSON for each thing that was said."""

import hashlib
import re

import msgspec

from hermes import (
    Done,
    MemoryBlocks,
    MemoryEntry,
    MemoryTools,
    Provision,
    Recalled,
    SystemBlock,
    ToolEntry,
    hookimpl,
    text_of,
)

WORD = re.compile(r"[\u3040-\u9fff]+|[^\W\u3040-\u9fff]+")
TOOL = ToolEntry(
    name="remember",
    description="Keeps a fact for later.",
    parameters={"type": "object", "properties": {"fact": {"type": "string"}}, "required": ["fact"]},
)


class FileMemory:
    def __init__(self, folder, clock):
        self._folder = folder
        self._clock = clock

    def _file(self, memory):
        return self._folder / f"{hashlib.sha256(memory.principal.id.encode()).hexdigest()}.jsonl"

    def _read(self, file):
        if not file.exists():
            return []
        return [msgspec.json.decode(line, type=MemoryEntry) for line in file.read_bytes().splitlines()]

    def _write(self, file, entries):
        file.write_bytes(b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))

    async def blocks(self, memory):
        known = [entry.text for entry in self._read(self._file(memory))]
        return MemoryBlocks(blocks=(SystemBlock(name="memory", text="\n".join(known[-20:])),) if known else ())

    async def recall(self, query):
        wanted = terms(query.text)
        scored = []
        for entry in self._read(self._file(query.memory)):
            if score := len(wanted & terms(entry.text)):
                scored.append(msgspec.structs.replace(entry, score=float(score)))
        found, left = [], query.tokens
        for entry in sorted(scored, key=lambda entry: -entry.score):
            left -= len(entry.text.encode()) // 3 + 1
            if left < 0:
                break
            found.append(entry)
        return Recalled(entries=tuple(found))

    async def observe(self, turn):
        file = self._file(turn.memory)
        lines = []
        for number, message in enumerate(turn.messages):
            text = text_of(message.parts)
            if text and message.role != "tool":
                entry = MemoryEntry(
                    id=f"{file.stem[:12]}-{turn.memory.session_id}-{turn.turn_id}-{number}",
                    text=text,
                    source=turn.memory.session_id,
                    created=self._clock.now(),
                    principal=turn.memory.principal.id,
                )
                lines.append(msgspec.json.encode(entry) + b"\n")
        with file.open("ab") as out:
            out.write(b"".join(lines))
        return Done()

    async def pre_compress(self, notice):
        return MemoryBlocks()

    async def switch(self, memory):
        return Done()

    async def forget(self, request):
        file = self._file(request.memory)
        kept = [entry for entry in self._read(file) if request.ids and entry.id not in request.ids]
        self._write(file, kept)
        return Done()

    async def export(self, memory):
        for entry in self._read(self._file(memory)):
            yield entry

    async def tools(self, memory):
        return MemoryTools(tools=(TOOL,))


def terms(text):
    found = set()
    for word in WORD.findall(text.lower()):
        found |= {word[at : at + 2] for at in range(len(word) - 1)} if word > "\u3040" else {word}
    return found


@hookimpl
def provide():
    return [Provision("memory", "file", lambda ctx: FileMemory(ctx.data_dir, ctx.clock))]
