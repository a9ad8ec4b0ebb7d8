"""Runs turns on a home until its time is over, and prints what it was promised. A program, not a test module.

Arguments: the home, the model server's URL, this process's name, seconds, and the session to share (blank: a few of
its own). Each line it prints is a JSON object: a message that was answered, its session, and whether it was queued.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from hermes import App, Conversation, HermesError, MessageQueued, TurnFinished

OWN_SESSIONS = 3


async def main(home: str, url: str, name: str, seconds: float, shared: str) -> None:
    provider = {"transport": "chat_completions", "base_url": url, "models": ["test-model"]}
    overrides = {
        "model": {"provider": "fake"},
        "providers": {"fake": provider},
        "approvals": {"mode": "off"},
        "agent": {"max_turns": 5},
    }
    async with App(home, overrides=overrides, workspace=home) as app:
        conversations = [await app.conversation(shared) for _ in range(1 if shared else OWN_SESSIONS)]
        until, number = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            number += 1
            await one_turn(conversations[number % len(conversations)], f"{name} {number}")


async def one_turn(conversation: Conversation, text: str) -> None:
    queued, outcome = False, ""
    async for event in conversation.send(text):
        queued = queued or isinstance(event, MessageQueued)
        if isinstance(event, TurnFinished):
            outcome = event.outcome
    if outcome != "done":
        raise HermesError(f"{text} ended {outcome or 'without a word'}")
    line = {"session": conversation.id, "text": text, "queued": queued}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), sys.argv[5]))
