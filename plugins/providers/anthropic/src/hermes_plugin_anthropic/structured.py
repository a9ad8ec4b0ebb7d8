"""Answers of a schema, for models that take none: a tool that has to be called, whose input is the answer."""

from __future__ import annotations

from typing import Any, NamedTuple

from hermes.contracts.errors import BadRequest
from hermes.contracts.provider import ModelRequest

from .quirks import Quirks

NAME = "give_answer"


class AnswerTool(NamedTuple):
    name: str
    tool: dict[str, Any]
    choice: dict[str, Any]


def answer_tool(request: ModelRequest, quirks: Quirks) -> AnswerTool | None:
    """The tool, where one is needed. Beside other tools it is one way to end the turn, else the only one.

    Raises:
        BadRequest: the model cannot be forced to call a tool, or the answer is no object.
    """
    wanted = request.response_format
    if wanted is None or quirks.structured != "tool":
        return None
    if quirks.thinking == "always":
        raise _impossible(request, "It always thinks, and then cannot be made to call a tool.")
    if wanted.json_schema.get("type") != "object":
        raise _impossible(request, "It takes only schemas of the type object.")
    taken = {tool.name for tool in request.tools}
    name = next(name for number in range(len(taken) + 1) if (name := NAME + "_" * number) not in taken)
    tool = {
        "name": name,
        "description": f"Gives the final answer ({wanted.name}). Call it once, when the answer is known.",
        "input_schema": wanted.json_schema,
    }
    choice = {"type": "any"} if request.tools else {"type": "tool", "name": name}
    return AnswerTool(name, tool, {**choice, "disable_parallel_tool_use": True})


def _impossible(request: ModelRequest, why: str) -> BadRequest:
    provider = request.endpoint.provider
    return BadRequest(
        f"{provider}: {request.model} cannot be held to a schema. {why}",
        provider=provider,
        hint=f"Use another model; if this one takes schemas, set providers.{provider}.quirks.structured to native.",
    )
