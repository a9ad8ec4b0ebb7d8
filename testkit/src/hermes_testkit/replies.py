"""What a fake model answers: the elements of a reply, the same on every wire.

A reply is one element or a list of them, in the order in which they are sent::

    Say("Hello")
    [Think("Two files."), Call("read_file", {"path": "a"}), Call("read_file", {"path": "b"})]
    [Say("half of an ans"), Cut()]
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Reason: TypeAlias = Literal["", "overflow", "filtered", "quota"]
"""A prompt that is too long, one that is not allowed, or an account that is used up."""


@dataclass(frozen=True)
class Say:
    """Text. ``chunks``: how many pieces it is streamed in; 0: one a word."""

    text: str
    chunks: int = 0


@dataclass(frozen=True)
class Think:
    """Reasoning, with the opaque mark that wires other than Chat Completions send for its replay."""

    text: str
    field: str = "reasoning_content"
    """Chat Completions: the member of a delta; ``reasoning`` is in use, too. Responses: ``reasoning_text`` is the
    reasoning itself, all else a summary."""
    signature: str = ""
    """The mark, in base64. Empty: made of the reply's number and the block's."""
    redacted: bool = False
    """Only the mark is sent, no text."""


@dataclass(frozen=True)
class Call:
    """A tool call; several in one reply are parallel ones.

    ``arguments`` as text is sent as it stands, where the wire sends text; where it sends an object, it is that object.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str = ""
    """Empty: made of the reply's number and the call's."""
    chunks: int = 3

    @property
    def arguments_text(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True)
class Refuse:
    """The model declines, in the way of the wire: a part of its own, a stop reason, or a block of the prompt."""

    text: str


@dataclass(frozen=True)
class Tokens:
    """The usage to report, in place of one estimated from the bytes. Each wire counts in its own way from these."""

    prompt: int
    """All of it, also what was ``cached`` and ``cache_written``."""
    completion: int
    """All of it, also what was ``reasoning``."""
    cached: int = 0
    cache_written: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Finish:
    """Why the answer ends, where it is not ``stop`` or ``tool_calls``.

    ``length`` and ``content_filter`` become each wire's own; any other is sent as it stands (``pause_turn``, ``SPII``).
    """

    reason: str


@dataclass(frozen=True)
class Slow:
    """Waits ``seconds`` before every piece that follows, the first one too; the status line is sent before."""

    seconds: float


@dataclass(frozen=True)
class Fail:
    """An error instead of an answer. ``body`` empty: one in the vendor's form; text is sent as it stands."""

    status: int
    body: Mapping[str, Any] | str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: Reason = ""
    """What the status leaves open."""
    message: str = ""
    """Empty: the vendor's usual one."""
    code: str = ""
    """The vendor's name for it: OpenAI's ``code``, Anthropic's ``type``, Google's ``status``, Amazon's exception."""


@dataclass(frozen=True)
class Cut:
    """Closes the connection in mid-answer, ``after`` that many pieces of what stands before (-1: all of it)."""

    after: int = -1


@dataclass(frozen=True)
class Drop:
    """Closes the connection without a word."""


@dataclass(frozen=True)
class Malformed:
    """A piece that is no JSON. Bedrock's has a wrong checksum, too."""

    data: str = '{"choices": [{"delta": {"content": "oops'


@dataclass(frozen=True)
class ErrorChunk:
    """An error in mid-stream, after the status 200."""

    message: str = "The server is overloaded."
    type: str = "server_error"
    """``server_error`` becomes each vendor's own for a server that is overloaded; any other is the vendor's name for
    an error. Responses: ``response.failed`` is that event, in place of ``error``."""
    code: str | int | None = None


@dataclass(frozen=True)
class KeepAlive:
    """What is sent while a model is slow to start: a comment, a ping, or an event that no client knows."""

    text: str = "PROCESSING"


@dataclass(frozen=True)
class Chunk:
    """A piece of the stream as it stands: what no well-behaved server sends."""

    body: Mapping[str, Any]


Element: TypeAlias = (
    Say
    | Think
    | Call
    | Refuse
    | Tokens
    | Finish
    | Slow
    | Fail
    | Cut
    | Drop
    | Malformed
    | ErrorChunk
    | KeepAlive
    | Chunk
)
Reply: TypeAlias = Element | Sequence[Element]


def elements_of(reply: Reply) -> list[Element]:
    return list(reply) if isinstance(reply, Sequence) else [reply]


def pieces_of(text: str, chunks: int) -> list[str]:
    """``text`` in ``chunks`` pieces of about equal length; 0: by words."""
    if not text:
        return [""]
    if chunks == 0:
        return re.findall(r"\s*\S+|\s+", text)
    size = max(1, -(-len(text) // chunks))
    return [text[start : start + size] for start in range(0, len(text), size)]


def tokens_of(elements: Sequence[Element], prompt_bytes: int) -> Tokens:
    """What the reply says of its usage, or an estimate: four characters are a token."""
    for element in elements:
        if isinstance(element, Tokens):
            return element
    said = sum(len(element.text) for element in elements if isinstance(element, Say | Refuse))
    said += sum(len(element.arguments_text) for element in elements if isinstance(element, Call))
    thought = sum(len(element.text) for element in elements if isinstance(element, Think))
    return Tokens(prompt=-(-prompt_bytes // 4), completion=-(-(said + thought) // 4), reasoning=-(-thought // 4))


def finish_of(elements: Sequence[Element]) -> str:
    """Why the answer ends: what the reply says, else ``tool_calls``, ``refusal`` or ``stop``."""
    for element in elements:
        if isinstance(element, Finish):
            return element.reason
    if any(isinstance(element, Call) for element in elements):
        return "tool_calls"
    return "refusal" if any(isinstance(element, Refuse) for element in elements) else "stop"
