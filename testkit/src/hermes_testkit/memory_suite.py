"""What every memory does. A subclass names the plugin; see `hermes_testkit.contract_suite`.

A memory that does not learn from turns by itself, but through its tools or files, overrides `MemorySuite.remember`;
``self.running`` is the `App` there.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from hermes import (
    FilePart,
    ForgetRequest,
    ImagePart,
    MemoryBlocks,
    MemoryEntry,
    MemoryProvider,
    MemoryScope,
    Message,
    ObservedTurn,
    PreCompress,
    Principal,
    RecallQuery,
    Scope,
    SystemBlock,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)

from .contract_suite import DEADLINE, ContractSuite, eventually
from .provider_cases import UNICODE, assistant, result, user

CHARACTERS_PER_TOKEN = 8
"""More than any tokenizer gets into one: an answer that is over its limit by this measure is over it by any."""
DESCRIPTION_CHARS = 600


class MemorySuite(ContractSuite):
    """``grace``: seconds that an answer may come later than its deadline; ``patience``: until a thing is learned."""

    contract = "memory"
    grace: ClassVar[float] = 1.0
    patience: ClassVar[float] = DEADLINE

    async def remember(self, memory: MemoryProvider, whose: MemoryScope, text: str, turn: str = "t1") -> None:
        """Lets the memory learn a text that a person said."""
        messages = (user(text), assistant("Noted."))
        await memory.observe(ObservedTurn(memory=whose, turn_id=turn, messages=messages))

    def whose(self, person: str = "ada", session: str = "s1") -> MemoryScope:
        scope = Scope(home=str(self.home), user=person, session=session)
        return MemoryScope(scope=scope, principal=Principal(id=f"suite:{person}", name=person), session_id=session)

    async def recall(
        self, memory: MemoryProvider, whose: MemoryScope, text: str, *, tokens: int = 4000, deadline: float = 20.0
    ) -> tuple[MemoryEntry, ...]:
        query = RecallQuery(memory=whose, text=text, tokens=tokens, deadline=deadline)
        return (await memory.recall(query)).entries

    async def finds(self, memory: MemoryProvider, whose: MemoryScope, text: str) -> MemoryEntry:
        """Waits until the text is recalled."""

        async def look() -> MemoryEntry | None:
            return next((entry for entry in await self.recall(memory, whose, text) if text in entry.text), None)

        found = await eventually(look, self.patience)
        assert found is not None
        return found

    async def exported(self, memory: MemoryProvider, whose: MemoryScope) -> list[MemoryEntry]:
        return [entry async for entry in memory.export(whose)]

    async def shown(self, memory: MemoryProvider, whose: MemoryScope, about: str) -> str:
        """All that a person's memory gives away on any path."""
        texts = [entry.text for entry in await self.recall(memory, whose, about)]
        texts += [entry.text for entry in await self.exported(memory, whose)]
        texts += [block.text for block in (await memory.blocks(whose)).blocks]
        return "\n".join(texts)

    def test_empty(self) -> None:
        """MEMORY-EMPTY-1: of somebody it knows nothing of, it recalls and exports nothing, and fails nowhere."""

        async def body(memory: MemoryProvider) -> None:
            stranger = self.whose("stranger")
            assert await self.recall(memory, stranger, "anything") == ()
            assert await self.exported(memory, stranger) == []
            assert isinstance(await memory.blocks(stranger), MemoryBlocks)
            await memory.forget(ForgetRequest(memory=stranger))
            await memory.forget(ForgetRequest(memory=stranger, ids=("no-such-entry",)))

        self.run(body)

    def test_blocks(self) -> None:
        """MEMORY-BLOCKS-1: blocks have names of their own, and stay as they are while nothing is learned."""

        async def body(memory: MemoryProvider) -> None:
            await self.remember(memory, self.whose(), "The boat is called Heron.")
            await self.finds(memory, self.whose(), "Heron")
            first = (await memory.blocks(self.whose())).blocks
            assert all(isinstance(block, SystemBlock) and block.name for block in first)
            assert len({block.name for block in first}) == len(first)
            assert (await memory.blocks(self.whose())).blocks == first

        self.run(body)

    def test_recall(self) -> None:
        """MEMORY-RECALL-1: what a person said in one session is recalled in another of theirs."""

        async def body(memory: MemoryProvider) -> None:
            await self.remember(memory, self.whose(session="s1"), "The boat is called Heron.")
            assert "boat" in (await self.finds(memory, self.whose(session="s2"), "Heron")).text

        self.run(body)

    def test_recall_in_time(self) -> None:
        """MEMORY-RECALL-2: an answer comes within its deadline, with what there is by then."""

        async def body(memory: MemoryProvider) -> None:
            await self.remember(memory, self.whose(), "The boat is called Heron.")
            async with asyncio.timeout(0.5 + self.grace):
                await self.recall(memory, self.whose(), "Heron", deadline=0.5)

        self.run(body)

    def test_recall_within_tokens(self) -> None:
        """MEMORY-RECALL-3: an answer costs no more tokens than it may."""

        async def body(memory: MemoryProvider) -> None:
            for number in range(15):
                await self.remember(memory, self.whose(), f"Heron {number}: {'a long tale of it ' * 40}", f"t{number}")
            await self.finds(memory, self.whose(), "Heron 14")
            for tokens in (0, 50, 500):
                found = await self.recall(memory, self.whose(), "Heron tale", tokens=tokens)
                assert sum(len(entry.text) for entry in found) <= tokens * CHARACTERS_PER_TOKEN

        self.run(body)

    def test_entries_say_what_they_are(self) -> None:
        """MEMORY-RECALL-4: an entry says whose it is, where it comes from and since when, under an id of its own."""

        async def body(memory: MemoryProvider) -> None:
            for turn, name in enumerate(("Heron", "Otter")):
                await self.remember(memory, self.whose(), f"A boat is called {name}.", f"t{turn}")
                await self.finds(memory, self.whose(), name)
            found = await self.recall(memory, self.whose(), "boat called Heron Otter")
            assert len({entry.id for entry in found}) == len(found)
            for entry in found:
                assert entry.id
                assert entry.source
                assert entry.created > 0
                assert entry.principal == self.whose().principal.id

        self.run(body)

    def test_best_first(self) -> None:
        """MEMORY-RECALL-5: what fits best comes first."""

        async def body(memory: MemoryProvider) -> None:
            for turn, text in enumerate(("A heron stood there.", "The red boat Heron sails at noon.", "Noon was hot.")):
                await self.remember(memory, self.whose(), text, f"t{turn}")
            await self.finds(memory, self.whose(), "Noon was hot")
            scores = [entry.score for entry in await self.recall(memory, self.whose(), "red boat Heron sails noon")]
            assert scores == sorted(scores, reverse=True)

        self.run(body)

    def test_any_turn(self) -> None:
        """MEMORY-OBSERVE-1: a turn of any parts is taken, and what was said in it is learned."""

        async def body(memory: MemoryProvider) -> None:
            call = ToolCallPart(id="c1", name="look", arguments='{"place":')
            image = ImagePart(media_type="image/png", data=b"\x89PNG")
            file = FilePart(name="a.pdf", media_type="application/pdf", data=b"%PDF")
            said = Message(role="user", parts=(TextPart("Look at Heron"), image, file))
            messages = (said, assistant(ThinkingPart("Hm."), call), result(call, "a boat", image), assistant("Seen."))
            await memory.observe(ObservedTurn(memory=self.whose(), turn_id="t1", messages=messages))
            await memory.observe(ObservedTurn(memory=self.whose(), turn_id="t2", messages=()))
            await self.remember(memory, self.whose(), "The boat is called Otter.", "t3")
            await self.finds(memory, self.whose(), "Otter")

        self.run(body)

    def test_many_at_once(self) -> None:
        """MEMORY-OBSERVE-2: of turns that are observed at the same time none is lost."""

        async def body(memory: MemoryProvider) -> None:
            numbers = range(20)
            await asyncio.gather(
                *(self.remember(memory, self.whose(), f"Boat number{n} is Heron.", f"t{n}") for n in numbers)
            )
            for number in numbers:
                await self.finds(memory, self.whose(), f"number{number}")

        self.run(body)

    def test_people_apart(self) -> None:
        """MEMORY-PRINCIPAL-1: nobody is shown what another person said: not recalled, exported, or in a block."""

        async def body(memory: MemoryProvider) -> None:
            await self.remember(memory, self.whose("ada"), "The secret boat is called Heron.")
            await self.remember(memory, self.whose("bob"), "The secret boat is called Otter.")
            await self.finds(memory, self.whose("ada"), "Heron")
            await self.finds(memory, self.whose("bob"), "Otter")
            assert "Otter" not in await self.shown(memory, self.whose("ada"), "secret boat Otter")
            assert "Heron" not in await self.shown(memory, self.whose("bob"), "secret boat Heron")

        self.run(body)

    def test_forget_all(self) -> None:
        """MEMORY-FORGET-1: everything of a person can be forgotten, and nothing of anybody else is."""

        async def body(memory: MemoryProvider) -> None:
            for person in ("ada", "bob"):
                await self.remember(memory, self.whose(person), f"The boat of {person} is called Heron.")
                await self.finds(memory, self.whose(person), "Heron")
            await memory.forget(ForgetRequest(memory=self.whose("ada")))
            assert "of ada" not in await self.shown(memory, self.whose("ada"), "boat Heron")
            assert "bob" in (await self.finds(memory, self.whose("bob"), "Heron")).text

        self.run(body)

    def test_forget_some(self) -> None:
        """MEMORY-FORGET-2: of a person's entries only the named ones are forgotten."""

        async def body(memory: MemoryProvider) -> None:
            for turn, name in enumerate(("Heron", "Otter")):
                await self.remember(memory, self.whose(), f"A boat is called {name}.", f"t{turn}")
            await self.finds(memory, self.whose(), "Heron")
            await self.finds(memory, self.whose(), "Otter")
            ids = tuple(entry.id for entry in await self.exported(memory, self.whose()) if "Heron" in entry.text)
            await memory.forget(ForgetRequest(memory=self.whose(), ids=ids))
            assert "Heron" not in await self.shown(memory, self.whose(), "boat Heron")
            await self.finds(memory, self.whose(), "Otter")

        self.run(body)

    def test_forget_only_ones_own(self) -> None:
        """MEMORY-FORGET-3: nobody can make a memory forget another person's entries."""

        async def body(memory: MemoryProvider) -> None:
            for person, name in (("ada", "Heron"), ("bob", "Otter")):
                await self.remember(memory, self.whose(person), f"The boat is called {name}.")
            mine = await self.finds(memory, self.whose("ada"), "Heron")
            await self.finds(memory, self.whose("bob"), "Otter")
            await memory.forget(ForgetRequest(memory=self.whose("bob"), ids=(mine.id,)))
            await self.finds(memory, self.whose("ada"), "Heron")

        self.run(body)

    def test_export(self) -> None:
        """MEMORY-EXPORT-1: an export has everything there is of a person, each entry once."""

        async def body(memory: MemoryProvider) -> None:
            numbers = range(60)
            for number in numbers:
                await self.remember(memory, self.whose(), f"Boat number{number}. is Heron.", f"t{number}")
            await self.finds(memory, self.whose(), "number59.")
            entries = await self.exported(memory, self.whose())
            assert len({entry.id for entry in entries}) == len(entries)
            text = "\n".join(entry.text for entry in entries)
            assert [number for number in numbers if f"number{number}." not in text] == []

        self.run(body)

    def test_switch(self) -> None:
        """MEMORY-SWITCH-1: another session or person can be switched to and back; each finds what is theirs."""

        async def body(memory: MemoryProvider) -> None:
            for person, name in (("ada", "Heron"), ("bob", "Otter")):
                await memory.switch(self.whose(person))
                await self.remember(memory, self.whose(person), f"The boat is called {name}.")
                await self.finds(memory, self.whose(person), name)
            await memory.switch(self.whose("ada", session="s2"))
            await memory.switch(self.whose("ada"))
            await self.finds(memory, self.whose("ada"), "Heron")

        self.run(body)

    def test_before_compression(self) -> None:
        """MEMORY-COMPRESS-1: told what is about to be summarized, it answers with blocks, and loses nothing."""

        async def body(memory: MemoryProvider) -> None:
            await self.remember(memory, self.whose(), "The boat is called Heron.")
            await self.finds(memory, self.whose(), "Heron")
            messages = (user("And the house?"), assistant("It is called Otter."))
            for notice in (
                PreCompress(memory=self.whose(), messages=messages),
                PreCompress(memory=self.whose(), messages=()),
            ):
                kept = await memory.pre_compress(notice)
                assert isinstance(kept, MemoryBlocks)
                assert all(isinstance(block, SystemBlock) and block.name for block in kept.blocks)
            await self.finds(memory, self.whose(), "Heron")

        self.run(body)

    def test_tools(self) -> None:
        """MEMORY-TOOLS-1: its tools have names of their own, few words for the model, and schemas of objects."""

        async def body(memory: MemoryProvider) -> None:
            tools = (await memory.tools(self.whose())).tools
            assert len({entry.name for entry in tools}) == len(tools)
            for entry in tools:
                schema: Any = entry.parameters
                assert schema.get("type") == "object", entry.name
                assert set(schema.get("required", ())) <= set(schema.get("properties", {})), entry.name
                assert 0 < len(entry.description) <= DESCRIPTION_CHARS, entry.name

        self.run(body)

    def test_any_characters(self) -> None:
        """MEMORY-UNICODE-1: every character of a text is kept."""

        async def body(memory: MemoryProvider) -> None:
            await self.remember(memory, self.whose(), f"Heron {UNICODE} end")
            await self.finds(memory, self.whose(), "Heron")
            assert any(UNICODE in entry.text for entry in await self.exported(memory, self.whose()))

        self.run(body)

    def test_words_without_spaces(self) -> None:
        """MEMORY-UNICODE-2: a word is found in a language that writes none apart."""

        async def body(memory: MemoryProvider) -> None:
            await self.remember(memory, self.whose(), "我的小船叫白鹭号，停在东京湾。")
            await self.finds(memory, self.whose(), "东京")

        self.run(body)

    def test_restart(self) -> None:
        """MEMORY-RESTART-1: what was learned is still known after a restart."""

        async def learn(memory: MemoryProvider) -> None:
            await self.remember(memory, self.whose(), "The boat is called Heron.")
            await self.finds(memory, self.whose(), "Heron")

        async def know(memory: MemoryProvider) -> None:
            await self.finds(memory, self.whose(), "Heron")

        self.run(learn)
        self.run(know)
