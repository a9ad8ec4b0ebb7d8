"""A context engine that leaves out the middle."""

import msgspec

from hermes import Done, Fitted, Provision, hookimpl

FIRST_TURNS = 3
LAST_MESSAGES = 20


class WindowCutter:
    async def fit(self, request):
        messages, window = request.messages, request.window
        size = max(request.used, tokens(messages))
        if not request.force and (not window or size <= window):
            return Fitted(messages=messages)
        head, tail = ends(messages)
        if tail <= head:
            return Fitted(messages=messages)
        kept = messages[:head] + messages[tail:]
        return Fitted(messages=kept, changed=True, note=f"{tail - head} messages were left out.")

    async def model_changed(self, change):
        return Done()


def tokens(messages):
    return sum(len(msgspec.json.encode(message.parts)) for message in messages) // 4


def ends(messages):
    """Where the first turns end, and where the last messages begin: never between a call and its results."""
    turns = [at for at, message in enumerate(messages) if message.role == "user"]
    head = turns[FIRST_TURNS] if len(turns) > FIRST_TURNS else len(messages)
    tail = len(messages) - LAST_MESSAGES
    while tail > head and messages[tail].role == "tool":
        tail -= 1
    return head, tail


@hookimpl
def provide():
    return [Provision("context_engine", "cutter", WindowCutter)]
