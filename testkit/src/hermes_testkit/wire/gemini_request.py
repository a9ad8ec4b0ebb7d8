"""Google's Gemini: what it takes, and what it has against it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import Any, NamedTuple

from ..replies import Fail
from ..seen import SeenCall, SeenPrompt

MEMBERS = {
    *("contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "generationConfig"),
    *("cachedContent", "labels", "model", "serviceTier", "store"),
}

Part = Mapping[str, Any]


class Turn(NamedTuple):
    role: str
    parts: list[Part]


def named(message: Mapping[str, Any]) -> dict[str, Any]:
    """With the names of its members as JSON has them; Google takes ``inline_data`` for ``inlineData``, too."""
    return {re.sub(r"_(.)", lambda match: match[1].upper(), name): value for name, value in message.items()}


def normal(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The request with one name for each member that is looked at."""
    body = named(asked)
    contents = [named(content) for content in body.get("contents") or ()]
    parts = [[named(part) for part in content.get("parts") or ()] for content in contents]
    body["contents"] = [{**content, "parts": inner} for content, inner in zip(contents, parts, strict=True)]
    return body


def demands_signatures(model: str) -> bool:
    """Gemini 3 and later want the thought signatures of a turn's calls back."""
    return re.match(r"gemini-([3-9]|\d\d)", model) is not None


def refused(model: str, asked: Mapping[str, Any]) -> Fail | None:
    body = normal(asked)
    problem = next(chain(_members(body), _contents(body), _order(body), _signatures(model, body)), None)
    return Fail(400, message=problem) if problem else None


def turns_of(asked: Mapping[str, Any]) -> list[Turn]:
    """The contents, those of one role that follow one another as one turn; ``function`` for results of tools."""
    turns = []
    for role, group in groupby(asked["contents"], key=_role):
        turns.append(Turn(role, [part for content in group for part in content["parts"]]))
    return turns


def _role(content: Mapping[str, Any]) -> str:
    answers = any("functionResponse" in part for part in content["parts"])
    return "function" if answers else str(content.get("role", "user"))


def _members(asked: Mapping[str, Any]) -> Iterator[str]:
    for name in asked:
        if name not in MEMBERS:
            yield f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
    if not asked.get("contents"):
        yield "* GenerateContentRequest.contents: contents is not specified"


def _contents(asked: Mapping[str, Any]) -> Iterator[str]:
    for number, content in enumerate(asked["contents"]):
        where = f"* GenerateContentRequest.contents[{number}].parts"
        if content.get("role", "user") not in ("user", "model", "function"):
            yield "Please use a valid role: user, model."
        if not content.get("parts"):
            yield f"{where}: contents.parts must not be empty."
        for place, part in enumerate(content["parts"]):
            if not set(part) - {"thought", "thoughtSignature"}:
                yield f"{where}[{place}].data: required oneof field 'data' must have one initialized field"


def _order(asked: Mapping[str, Any]) -> Iterator[str]:
    """What stands before a call, and before its results."""
    turns = turns_of(asked)
    for number, turn in enumerate(turns):
        before = turns[number - 1] if number else Turn("", [])
        if _count([turn], "functionCall") and before.role not in ("user", "function"):
            yield (
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn."
            )
        results, calls = _count([turn], "functionResponse"), _count([before], "functionCall")
        if results and not calls:
            yield "Please ensure that function response turn comes immediately after a function call turn."
        elif results != calls:
            yield (
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )


def _count(turns: Sequence[Turn], member: str) -> int:
    return sum(member in part for turn in turns for part in turn.parts)


def _signatures(model: str, asked: Mapping[str, Any]) -> Iterator[str]:
    """In the current turn, which is all since the user last spoke, the first call of each step needs its own."""
    if not demands_signatures(model):
        return
    turns = turns_of(asked)
    spoke = max((number for number, turn in enumerate(turns) if turn.role == "user"), default=0)
    for turn in turns[spoke:]:
        calls = [part for part in turn.parts if "functionCall" in part]
        if calls and not calls[0].get("thoughtSignature"):
            name = calls[0]["functionCall"]["name"]
            yield (
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                f"work correctly. Function call `default_api:{name}`, position 1."
            )


def read(asked: Mapping[str, Any]) -> SeenPrompt:
    body = normal(asked)
    declared = [named(tool).get("functionDeclarations", ()) for tool in body.get("tools", ())]
    seen = SeenPrompt(tools=[function["name"] for functions in declared for function in functions])
    seen.system = [part["text"] for part in body.get("systemInstruction", {}).get("parts", ())]
    settings = named(body.get("generationConfig", {}))
    seen.json_schema = settings.get("responseJsonSchema", settings.get("responseSchema"))
    for content in body["contents"]:
        role = "assistant" if content.get("role") == "model" else "user"
        texts = len(seen.turns)
        for part in content["parts"]:
            _read_part(part, role, seen)
        if len(seen.turns) == texts:
            seen.turns.append((role, ""))
    return seen


def _blob(data: str) -> bytes:
    """Google takes both alphabets of base64."""
    return base64.urlsafe_b64decode(data)


def _read_part(part: Part, role: str, seen: SeenPrompt) -> None:
    if "functionCall" in part:
        call = part["functionCall"]
        seen.calls.append(SeenCall(call.get("id", ""), call["name"], json.dumps(call.get("args", {}))))
    elif "functionResponse" in part:
        result = part["functionResponse"]
        answered = result["response"]
        text = next((str(answered[name]) for name in ("output", "result", "error") if name in answered), None)
        text = json.dumps(answered) if text is None else text
        seen.turns.append(("tool", text))
        seen.results.append((result.get("id") or result["name"], text))
        seen.images.extend(_blob(named(inner)["inlineData"]["data"]) for inner in result.get("parts", ()))
    elif "inlineData" in part:
        seen.images.append(_blob(part["inlineData"]["data"]))
    elif part.get("text") and not part.get("thought"):
        seen.turns.append((role, part["text"]))
