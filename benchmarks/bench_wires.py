"""What a wire costs, against the vendor's own SDK on the same bytes.

Run: ``.venv/bin/python benchmarks/bench_wires.py [ANSWERS]``. A streamed answer of 2,000 tokens, one a piece, is read
by our provider and by the vendor's SDK, from a server in another process; counted is the processor time of this one,
after a first answer of each. Then a history of 1 MB is encoded.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from hermes import (
    Endpoint,
    Message,
    ModelRequest,
    Provider,
    SystemBlock,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from hermes_testkit.wires import WIRES

ANSWERS = int(sys.argv[1]) if len(sys.argv) > 1 else 12
WORDS = 2_000
KEY = "sk-bench-0123456789abcdef"
MODEL = "bench-model"
VERSION = "/v1beta"
"""Which Google's own client puts before its paths, and ours has in its address."""
SERVER = f"""
from hermes_testkit.model_server import ModelServer, Say
import sys
def answer(request):
    return Say("word " * {WORDS}, chunks=0)
with ModelServer(*[answer] * 10_000) as server:
    print(server.root, flush=True)
    sys.stdin.read()
"""

Read = Callable[[], Awaitable[int]]
"""Reads one answer and gives how many words it had."""


async def cpu_of(read: Read) -> float:
    """Seconds of processor time of one answer, the median."""
    spent = []
    for _ in range(ANSWERS + 1):
        started = time.process_time()
        words = await read()
        spent.append(time.process_time() - started)
        if words != WORDS:
            raise SystemExit(f"{words} words came instead of {WORDS}")
    return statistics.median(spent[1:])


def provider_of(wire: str) -> Provider:
    from importlib import import_module

    plugins = {"anthropic_messages": "anthropic", "gemini": "gemini", "bedrock_converse": "bedrock"}
    module = import_module(f"hermes_plugin_{plugins.get(wire, 'openai')}")
    made: Provider = next(found.make() for found in module.provide() if found.name == wire)
    return made


def request_to(endpoint: Endpoint, *messages: Message, **more: Any) -> ModelRequest:
    asked = messages or (Message(role="user", parts=(TextPart("Go"),)),)
    return ModelRequest(id="r", session_id="s", turn_id="t", endpoint=endpoint, model=MODEL, messages=asked, **more)


def ours(provider: Provider, endpoint: Endpoint) -> Read:
    async def read() -> int:
        request = request_to(endpoint)
        return len(
            "".join([event.text async for event in provider.stream(request) if isinstance(event, TextDelta)]).split()
        )

    return read


def counted(pieces: list[str]) -> int:
    return len("".join(pieces).split())


def openai_chat(url: str) -> Read:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key=KEY)

    async def read() -> int:
        stream: Any = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Go"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        return counted([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    return read


def openai_responses(url: str) -> Read:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key=KEY)

    async def read() -> int:
        stream: Any = await client.responses.create(model=MODEL, input="Go", stream=True)
        return counted([event.delta async for event in stream if event.type == "response.output_text.delta"])

    return read


def anthropic_messages(url: str) -> Read:
    from anthropic import AsyncAnthropic

    client = AsyncAnthropic(base_url=url, api_key=KEY)

    async def read() -> int:
        stream: Any = await client.messages.create(
            model=MODEL, max_tokens=8192, messages=[{"role": "user", "content": "Go"}], stream=True
        )
        return counted([event.delta.text async for event in stream if event.type == "content_block_delta"])

    return read


def gemini(url: str) -> Read:
    from google import genai
    from google.genai import types

    options = types.HttpOptions(base_url=url.removesuffix(VERSION), api_version=VERSION[1:])
    client = genai.Client(api_key=KEY, http_options=options)

    async def read() -> int:
        stream: AsyncIterator[Any] = await client.aio.models.generate_content_stream(model=MODEL, contents="Go")
        return counted([piece.text or "" async for piece in stream])

    return read


def bedrock_converse(url: str) -> Read:
    import boto3

    client = boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="AKIA" + "0" * 16,
        aws_secret_access_key=KEY,
    )

    async def read() -> int:
        answer = client.converse_stream(modelId=MODEL, messages=[{"role": "user", "content": [{"text": "Go"}]}])
        deltas = (event["contentBlockDelta"]["delta"] for event in answer["stream"] if "contentBlockDelta" in event)
        return counted([delta.get("text", "") for delta in deltas])

    return read


SDKS: dict[str, Callable[[str], Read]] = {
    "chat_completions": openai_chat,
    "responses": openai_responses,
    "anthropic_messages": anthropic_messages,
    "gemini": gemini,
    "bedrock_converse": bedrock_converse,
}


def history() -> tuple[Message, ...]:
    """1 MB in 200 rounds: a question, a call, its result, an answer."""
    messages: list[Message] = []
    for number in range(200):
        call = ToolCallPart(id=f"call_{number}", name="look", arguments=f'{{"place": "{number} garden"}}')
        result = ToolResultPart(call_id=call.id, name="look", content=(TextPart("seen: größer \n" * 180),))
        messages += [
            Message(role="user", parts=(TextPart("What is there? " * 60),)),
            Message(role="assistant", parts=(TextPart("Looking."), call)),
            Message(role="tool", parts=(result,)),
            Message(role="assistant", parts=(TextPart("Much. " * 260),)),
        ]
    return tuple(messages)


def encoding(wire: str, provider: Any) -> None:
    endpoint = Endpoint(provider="bench", base_url="http://127.0.0.1:1/v1", key=KEY)
    tools = tuple(
        ToolSpec(name=f"tool{number}", description="Does.", parameters={"type": "object", "properties": {}})
        for number in range(20)
    )
    system = (SystemBlock(name="persona", text="You are brief. " * 100),)
    request = request_to(endpoint, *history(), system=system, tools=tools)
    times = []
    for _ in range(15):
        started = time.perf_counter()
        body = provider.codec.encode(request)
        times.append(time.perf_counter() - started)
    milliseconds = statistics.median(times) * 1000
    verdict = "PASS" if milliseconds < 20 else "MISS"
    print(f"  {verdict}  {wire:20} {len(body) / 1e6:.2f} MB encoded in {milliseconds:5.1f} ms (under 20)")


async def streaming(wire: str, provider: Any, root: str) -> None:
    version = VERSION if wire == "gemini" else ""
    url = f"{root}{WIRES[wire].form.base}{version}"  # type: ignore[attr-defined]
    endpoint = Endpoint(provider="bench", base_url=url, key=KEY)
    own = await cpu_of(ours(provider, endpoint))
    theirs = await cpu_of(SDKS[wire](url))
    ratio = own / theirs
    print(
        f"  {'PASS' if ratio <= 0.5 else 'MISS'}  {wire:20} {ratio:5.2f}x of the SDK "
        f"({own * 1000:5.1f} against {theirs * 1000:5.1f} ms; at most 0.5)"
    )
    await provider.close()


def main() -> None:
    warnings.simplefilter("ignore")
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        root = server.stdout.readline().strip()
        for wire in SDKS:
            provider = provider_of(wire)
            asyncio.run(streaming(wire, provider, root))
            encoding(wire, provider)
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
