"""Hooks of both kinds: observers that count in the plugin's state, and guards that judge calls and messages."""

from hermes import MessageVerdict, Verdict, hookimpl, text_of


async def count(ctx, what):
    await ctx.state.set(what, await ctx.state.get(what, 0) + 1)


@hookimpl
async def on_session_start(session, ctx):
    await count(ctx, "sessions")


@hookimpl
async def on_session_end(session, outcome, ctx):
    await count(ctx, f"ended {outcome}")


@hookimpl
async def post_api_request(request, response, ctx):
    await count(ctx, f"answers of {request.model}")


@hookimpl
def on_api_error(request, error):
    assert error.kind


@hookimpl
async def post_tool_call(call, result, ctx):
    await count(ctx, f"calls of {call.name}")


@hookimpl
async def on_approval(request, decision, ctx):
    await count(ctx, f"answers {decision.answer}")


@hookimpl
async def on_error(session, error, ctx):
    await count(ctx, f"errors {error.kind}")


@hookimpl
def on_subagent_stop(subagent, outcome):
    assert subagent.parent_session


@hookimpl(tools=["terminal", "suite_run"])
def pre_tool_call(call):
    if "rm -rf" in str(call.arguments.get("command", "")):
        return Verdict(decision="deny", reason="It would delete everything.")
    return None


@hookimpl
def on_message(message):
    if "spam" in text_of(message.parts):
        return MessageVerdict(action="skip", reason="It is spam.")
    return MessageVerdict(action="allow")
