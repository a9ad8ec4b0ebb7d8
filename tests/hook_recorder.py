# /// hermes
# name: recorder
# description: Writes down every hook that fires, and leaves a trace of itself wherever a hook lets it.
# provides:
#   word: [poked]
# ///
"""The drop-in of the hook matrix, copied into a home. Not a test module.

A line of JSON in ``fired`` of its data folder for every call of a hook: the hook, and what its arguments identify. The
file ``verdict`` there says how it judges ``poke``, and ``url`` where the model is that it resolves.
"""

import json

from hermes import (
    Continue,
    MessageVerdict,
    ProviderSpec,
    Provision,
    SystemBlock,
    TextPart,
    ToolOutcome,
    ToolRewrite,
    Verdict,
    hookimpl,
    text_of,
)

NAMED = ("id", "session_id", "turn_id", "message_id", "call_id", "request_id", "parent_session", "name", "plugin")
TOLD = ("surface", "attempt", "outcome", "answer", "finish", "kind", "is_error", "provider", "task", "model_calls")
kept_going: set[str] = set()


def ids(prefix, value):
    """What identifies an argument, under dotted names."""
    if isinstance(value, str):
        return {prefix: value}
    found = {f"{prefix}.{field}": getattr(value, field) for field in (*NAMED, *TOLD) if hasattr(value, field)}
    for field in ("session", "message", "call", "request"):
        if hasattr(value, field):
            found |= ids(f"{prefix}.{field}", getattr(value, field))
    return found


def fired(ctx, hook, **arguments):
    line = {"hook": hook}
    for name, value in arguments.items():
        line |= ids(name, value)
    if hook == "on_event":
        line["type"] = type(arguments["event"]).__name__
    with open(ctx.data_dir / "fired", "a") as file:
        file.write(json.dumps(line) + "\n")


class Poked:
    def said_of(self, place):
        return f"poked the {place}"


async def poke(place: str, ctx) -> str:
    """Pokes."""
    return (await ctx.provider("word", "poked")).said_of(place)


@hookimpl
def provide(ctx):
    fired(ctx, "provide")
    return [Provision("word", "poked", Poked)]


@hookimpl
def register_tools(registry, ctx):
    fired(ctx, "register_tools")
    registry.add(poke, risk="write")


@hookimpl
def resolve_provider(query, ctx):
    fired(ctx, "resolve_provider", query=query)
    if query.provider != "elsewhere":
        return None
    return ProviderSpec(
        transport="chat_completions", base_url=(ctx.data_dir / "url").read_text(), models=("test-model",)
    )


@hookimpl
def system_blocks(session, ctx):
    fired(ctx, "system_blocks", session=session)
    return [SystemBlock(name="recorder", text="All is written down.")]


@hookimpl
def on_session_start(session, ctx):
    fired(ctx, "on_session_start", session=session)


@hookimpl
def on_session_end(session, outcome, ctx):
    fired(ctx, "on_session_end", session=session, outcome=outcome)


@hookimpl
def on_session_reset(session, ctx):
    fired(ctx, "on_session_reset", session=session)


@hookimpl
def pre_llm_call(turn, ctx):
    fired(ctx, "pre_llm_call", turn=turn)
    return "(The recorder is on.)"


@hookimpl
def post_llm_call(turn, answer, ctx):
    fired(ctx, "post_llm_call", turn=turn, answer=answer)
    return f"{answer.text} [recorded]"


@hookimpl
def pre_api_request(request, ctx):
    fired(ctx, "pre_api_request", request=request)


@hookimpl
def post_api_request(request, response, ctx):
    fired(ctx, "post_api_request", request=request, response=response)


@hookimpl
def on_api_error(request, error, ctx):
    fired(ctx, "on_api_error", request=request, error=error)


@hookimpl
def rewrite_tool_call(call, ctx):
    fired(ctx, "rewrite_tool_call", call=call)
    return ToolRewrite(arguments={"place": "rewritten bear"}) if call.name == "poke" else None


@hookimpl
def pre_tool_call(call, ctx):
    fired(ctx, "pre_tool_call", call=call)
    if call.name == "poke":
        return Verdict(decision=(ctx.data_dir / "verdict").read_text(), reason="to see", key="poke")
    return None


@hookimpl
def post_tool_call(call, result, ctx):
    fired(ctx, "post_tool_call", call=call, result=result)


@hookimpl
def transform_tool_result(call, result, ctx):
    fired(ctx, "transform_tool_result", call=call, result=result)
    return ToolOutcome(content=(TextPart(f"<{text_of(result.content)}>"),)) if call.name == "poke" else None


@hookimpl
def on_turn_end(turn, ctx):
    fired(ctx, "on_turn_end", turn=turn)
    if turn.text.startswith("poke") and turn.id not in kept_going:
        kept_going.add(turn.id)
        return Continue(message="Once more.")
    return None


@hookimpl
def on_message(message, ctx):
    fired(ctx, "on_message", message=message.origin, principal=message.principal)
    if text_of(message.parts) == "please":
        return MessageVerdict(action="rewrite", text="poke it")
    return None


@hookimpl
def on_approval(request, decision, ctx):
    fired(ctx, "on_approval", request=request, decision=decision)


@hookimpl
def on_event(event, ctx):
    fired(ctx, "on_event", event=event)


@hookimpl
def on_subagent_start(subagent, ctx):
    fired(ctx, "on_subagent_start", subagent=subagent)


@hookimpl
def on_subagent_stop(subagent, outcome, ctx):
    fired(ctx, "on_subagent_stop", subagent=subagent, outcome=outcome)


@hookimpl
def on_error(session, error, ctx):
    fired(ctx, "on_error", session=session, error=error)
