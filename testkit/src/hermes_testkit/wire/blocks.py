"""A reply as blocks with a start, pieces and an end, as most wires send it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from ..replies import Call, Element, Finish, Refuse, Say, Think, Tokens, pieces_of

Kind: TypeAlias = Literal["text", "thinking", "redacted", "refusal", "call"]


@dataclass(frozen=True)
class Block:
    """A run of text or of thinking, a refusal, or a call."""

    index: int
    kind: Kind
    id: str = ""
    name: str = ""
    signature: str = ""
    field: str = ""
    """Of thinking: see `Think`."""


class Start(NamedTuple):
    block: Block


class Delta(NamedTuple):
    block: Block
    text: str


class Stop(NamedTuple):
    block: Block
    text: str
    """All of the block's."""


Step: TypeAlias = Start | Delta | Stop | Element


def steps(elements: Sequence[Element], number: int, prefix: str) -> Iterator[Step]:
    """The reply's blocks, and between them the elements that are none; texts that follow one another are one block.

    ``prefix``: what a call's id begins with, unless it has its own.
    """
    maker = _Maker(number, prefix)
    said = ""
    for element in elements:
        if isinstance(element, Tokens | Finish):
            continue
        if not isinstance(element, Say | Think | Refuse | Call):
            yield element
            continue
        block, opened = maker.open, maker.block(element)
        if opened is not block:
            if block is not None:
                yield Stop(block, said)
            said = ""
            yield Start(opened)
        for text in _pieces(element):
            said += text
            yield Delta(opened, text)
    if maker.open is not None:
        yield Stop(maker.open, said)


def blocks(elements: Sequence[Element], number: int, prefix: str) -> list[Stop]:
    """The reply's blocks, whole."""
    return [step for step in steps(elements, number, prefix) if isinstance(step, Stop)]


def signature(number: int, index: int) -> str:
    """The mark of a block whose element has none."""
    return base64.b64encode(f"signature {number}.{index}".encode()).decode()


class _Maker:
    """Numbers blocks and calls, and knows which block is open."""

    def __init__(self, number: int, prefix: str) -> None:
        self.open: Block | None = None
        self._number = number
        self._prefix = prefix
        self._blocks = 0
        self._calls = 0

    def block(self, element: Say | Think | Refuse | Call) -> Block:
        """The block that ``element`` belongs to: the open one, or a new one."""
        made = self._make(element)
        if self.open is not None and self._continues(element, made, self.open):
            return self.open
        self._blocks += 1
        self._calls += made.kind == "call"
        self.open = made
        return made

    def _continues(self, element: Say | Think | Refuse | Call, made: Block, last: Block) -> bool:
        if isinstance(element, Think):
            return not element.signature and made.kind == last.kind == "thinking" and made.field == last.field
        return made.kind == last.kind == "text"

    def _make(self, element: Say | Think | Refuse | Call) -> Block:
        index = self._blocks
        match element:
            case Say():
                return Block(index, "text")
            case Refuse():
                return Block(index, "refusal")
            case Think():
                mark = element.signature or signature(self._number, index)
                return Block(index, "redacted" if element.redacted else "thinking", "", "", mark, element.field)
            case Call():
                return Block(index, "call", element.id or f"{self._prefix}_{self._number}_{self._calls}", element.name)


def _pieces(element: Say | Think | Refuse | Call) -> list[str]:
    match element:
        case Say():
            return pieces_of(element.text, element.chunks)
        case Think():
            return [] if element.redacted else pieces_of(element.text, 0)
        case Refuse():
            return pieces_of(element.text, 0)
        case Call():
            return pieces_of(element.arguments_text, element.chunks)
