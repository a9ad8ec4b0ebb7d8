"""What every provider that speaks HTTP has to do, as tests to inherit: see `hermes_testkit.provider_suite`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from hermes import (
    AudioPart,
    ConnectionFailed,
    Endpoint,
    FilePart,
    ImagePart,
    Message,
    ModelFinished,
    ModelsQuery,
    ProviderState,
    ResponseFormat,
    StateUpdate,
    StreamBroken,
    SystemBlock,
    TextDelta,
    ThinkingPart,
    ToolCallPart,
    ToolSpec,
)

from .connection import SeenRequest
from .model_server import ModelServer, Scripted
from .provider_cases import KEY, PNG, TOOLS, UNICODE, Stage, assistant, result, user
from .provider_suite import ProviderSuite
from .replies import Call, Cut, Drop, KeepAlive, Malformed, Say, Slow, Think
from .wires import WIRES, SeenPrompt, Wire


class HttpProviderSuite(ProviderSuite):
    """What can be seen on the wire, too. ``wire`` is a name in `WIRES`."""

    wire = "chat_completions"
    patience = 10.0
    """Seconds that a connection may take to be closed."""

    @contextmanager
    def stage(self, *script: Scripted) -> Iterator[Stage]:
        with self.speaks.serve(*script) as server:
            yield Stage(self.make_endpoint(self.speaks.base_url(server)), "test-model", server)

    def make_endpoint(self, url: str) -> Endpoint:
        return Endpoint(provider="suite", base_url=url, key=KEY, key_source="env:SUITE_API_KEY")

    @property
    def speaks(self) -> Wire:
        return WIRES[self.wire]

    def sent(self, *messages: Message, **options: Any) -> SeenPrompt:
        """What a request is on the wire."""
        return self.speaks.read(self.send(*messages, **options)[0])

    def send(self, *messages: Message, **options: Any) -> Sequence[SeenRequest]:
        with self.stage() as stage:
            outcome = self.ask(stage, *messages, **options)
        assert outcome.error is None
        assert stage.server is not None
        return stage.server.requests

    def test_the_key_is_sent(self) -> None:
        """PROVIDER-WIRE-1: the endpoint's key is in a header, and nowhere else."""
        (request,) = self.send()
        assert any(KEY in value for value in request.headers.values())
        assert KEY.encode() not in request.body
        assert KEY not in request.path

    def test_system_blocks_are_separate_entries(self) -> None:
        """PROVIDER-WIRE-2: system blocks are sent in order, each as an entry of its own."""
        self.need("system_blocks")
        texts = ["You are brief.", "Tools are here.", UNICODE]
        blocks = tuple(SystemBlock(name=f"block{number}", text=text) for number, text in enumerate(texts))
        assert self.sent(system=blocks).system == texts

    def test_turns_keep_their_roles(self) -> None:
        """PROVIDER-WIRE-3: no message is merged with another or left out."""
        history = (user("a"), user("b"), assistant("c"), user("d"))
        turns = self.sent(*history).turns
        assert turns == [("user", "a"), ("user", "b"), ("assistant", "c"), ("user", "d")]

    def test_tool_calls_and_results_keep_their_ids(self) -> None:
        """PROVIDER-WIRE-4: calls go out with id, name and arguments, results and errors with the call's id."""
        self.need("tools")
        one = ToolCallPart(id="call_a", name="look", arguments='{"place": "garden"}')
        two = ToolCallPart(id="call_b", name="wait")
        results = (result(one, "No such place: garden", is_error=True), result(two, "waited"))
        seen = self.sent(user("Go"), assistant("Looking.", one, two), *results, tools=TOOLS)
        assert seen.tools == ["look", "wait"]
        assert [(call.id, call.name, json.loads(call.arguments)) for call in seen.calls] == [
            ("call_a", "look", {"place": "garden"}),
            ("call_b", "wait", {}),
        ]
        assert seen.results == [("call_a", "No such place: garden"), ("call_b", "waited")]

    def test_images(self) -> None:
        """PROVIDER-WIRE-5: images of the user and of tools arrive byte for byte."""
        self.need("images")
        call = ToolCallPart(id="call_a", name="look")
        other = ImagePart(media_type="image/png", data=PNG.data[::-1])
        seen = self.sent(user("See", PNG), assistant(call), result(call, "a picture", other), tools=TOOLS)
        assert seen.images == [PNG.data, other.data]
        assert seen.results == [("call_a", "a picture")]

    def test_structured_output(self) -> None:
        """PROVIDER-WIRE-6: the wanted schema is sent as it is, whatever its name."""
        self.need("response_format")
        schema = {
            "type": "object",
            "properties": {"n": {"type": "integer"}},
            "required": ["n"],
            "additionalProperties": False,
        }
        seen = self.sent(response_format=ResponseFormat(name="a name: größer", json_schema=schema))
        assert seen.json_schema == schema

    def test_thinking_is_given_back_to_its_own_model_only(self) -> None:
        """PROVIDER-THINKING-2: the mark of a thought goes back unchanged to the model that made it, and to no other."""
        self.need("thinking")
        mark = b64encode(b"a mark that nobody else may see").decode()
        call = ToolCallPart(id="call_a", name="look", arguments='{"place": "x"}')
        with self.stage([Think("Hm.", signature=mark), Call("look", {"place": "x"}, id="call_a")], "a", "b") as stage:
            told = self.ask(stage, tools=TOOLS)
            state = tuple(event.state for event in told.events if isinstance(event, StateUpdate))
            if not any(mark in piece.data for piece in state):
                pytest.skip("the wire marks no thoughts")
            history = (user("Hello"), assistant(ThinkingPart("Hm."), call, state=state), result(call, "seen"))
            own = self.request(stage, *history, tools=TOOLS, id="r2")
            self.ask_all(stage, own, msgspec.structs.replace(own, model="another-model", id="r3"))
            assert stage.server is not None
            _, same, other = stage.server.requests
        assert mark.encode() in same.body
        assert mark.encode() not in other.body

    def test_files_are_sent(self) -> None:
        """PROVIDER-WIRE-11: a PDF goes out byte for byte."""
        self.need("files")
        pdf = FilePart(name="a report.pdf", media_type="application/pdf", data=b"%PDF-1.4 " + bytes(range(256)))
        assert b64encode(pdf.data) in self.send(user("Read", pdf))[0].body

    def test_audio_is_sent(self) -> None:
        """PROVIDER-WIRE-12: sound goes out byte for byte."""
        self.need("audio")
        sound = AudioPart(media_type="audio/wav", data=b"RIFF" + bytes(range(256)))
        assert b64encode(sound.data) in self.send(user("Listen", sound))[0].body

    def test_names_that_the_vendor_refuses_come_back_as_they_are(self) -> None:
        """PROVIDER-TOOLS-6: a tool of any name can be offered and called, and is called by that name here."""
        self.need("tools")
        odd = ToolSpec(name="mcp.garden/schauen größer", description="Looks.", parameters=TOOLS[0].parameters)

        def calls_what_is_offered(request: SeenRequest) -> Call:
            (name,) = self.speaks.read(request).tools
            assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)
            return Call(name, {"place": "x"})

        with self.stage(calls_what_is_offered) as stage:
            (call,) = self.ask(stage, tools=(odd,)).calls
        assert call.name == odd.name

    def test_thinking_is_not_sent_as_text(self) -> None:
        """PROVIDER-WIRE-7: what a model thought aloud is in no request."""
        history = (user("a"), assistant(ThinkingPart("a-private-thought"), "b"), user("c"))
        assert b"a-private-thought" not in self.send(*history)[0].body

    def test_state_of_another_is_not_sent(self) -> None:
        """PROVIDER-WIRE-8: opaque state is replayed only to the provider, model and endpoint it came from."""
        data = json.dumps(
            {"reasoning_content": "a-mark", "reasoning_details": [{"data": "a-mark"}], "blocks": "a-mark"}
        )
        foreign = ProviderState(provider="other", model="other", endpoint="http://other.test", data=data)
        history = (user("a"), assistant("b", state=(foreign,)), user("c"))
        assert b"a-mark" not in self.send(*history)[0].body

    def test_a_longer_conversation_starts_with_the_shorter_one(self) -> None:
        """PROVIDER-WIRE-9: the next request starts with the bytes of this one, without its closing brackets."""
        call = ToolCallPart(id="call_a", name="look", arguments='{"place": "x"}')
        history = [user("Go", PNG) if self.capabilities().images else user("Go")]
        fixed: dict[str, Any] = {"system": (SystemBlock(name="a", text="Be brief."),), "tools": TOOLS}
        bodies = []
        for added in (
            [assistant(ThinkingPart("hm"), "Yes.", call), result(call, "seen")],
            [assistant("Done."), user("b")],
        ):
            bodies.append(self.send(*history, **fixed)[0].body)
            history.extend(added)
        bodies.append(self.send(*history, **fixed)[0].body)
        for shorter, longer in pairwise(bodies):
            assert longer.startswith(shorter.rstrip(b"]} \n"))

    def test_comments_are_not_events(self) -> None:
        """PROVIDER-WIRE-10: what keeps a connection alive is no part of the answer."""
        self.need("streaming")
        with self.stage([KeepAlive(), Say("One"), KeepAlive("data: no"), Say(" two")]) as stage:
            assert self.ask(stage).text == "One two"

    @pytest.mark.parametrize("after", [-1, 0, 3])
    def test_a_cut_answer_is_an_error(self, after: int) -> None:
        """PROVIDER-BROKEN-1: an answer that ends without its end mark is broken, however much of it came."""
        with self.stage([Say("One two three."), Cut(after)]) as stage:
            outcome = self.ask(stage)
        assert isinstance(outcome.error, StreamBroken)
        assert not any(isinstance(event, ModelFinished) for event in outcome.events)

    def test_a_cut_tool_call_is_not_ready(self) -> None:
        """PROVIDER-BROKEN-2: a call that is cut in the middle is never handed on."""
        self.need("tools")
        with self.stage([Call("look", {"place": "garden" * 10}, chunks=9), Cut(after=4)]) as stage:
            outcome = self.ask(stage, tools=TOOLS)
        assert isinstance(outcome.error, StreamBroken)
        assert outcome.calls == []

    def test_malformed_data_is_an_error(self) -> None:
        """PROVIDER-BROKEN-3: what is not the wire's form breaks the answer."""
        with self.stage([Say("One two"), Malformed()]) as stage:
            assert isinstance(self.ask(stage).error, StreamBroken)

    def test_a_dropped_connection_can_be_tried_again(self) -> None:
        """PROVIDER-BROKEN-4: a connection closed without an answer is an error that is worth another try."""
        with self.stage(Drop()) as stage:
            assert isinstance(self.ask(stage).error, ConnectionFailed | StreamBroken)

    def test_silence_is_an_error(self) -> None:
        """PROVIDER-BROKEN-5: nothing for longer than the request's ``timeout`` breaks the answer and the connection."""
        with self.stage([Slow(3600), Say("never")]) as stage:
            assert isinstance(self.ask(stage, timeout=0.1).error, StreamBroken)
            assert stage.server is not None
            assert stage.server.requests[0].wait_ended(self.patience)
        assert stage.server.requests[0].closed_early

    def test_nobody_listens(self) -> None:
        """PROVIDER-BROKEN-6: a server that is not there is `ConnectionFailed`, and the address is named."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        endpoint = self.make_endpoint(f"http://127.0.0.1:{port}/v1")
        error = self.ask(Stage(endpoint, "test-model")).error
        assert isinstance(error, ConnectionFailed)
        assert str(port) in str(error)

    def test_leaving_closes_the_connection(self) -> None:
        """PROVIDER-CLOSE-2: closing the iterator in mid-answer closes the connection, so the server stops working."""

        async def work(stage: Stage, server: ModelServer) -> bool:
            async with self.serving() as provider:
                async with contextlib.aclosing(provider.stream(self.request(stage))) as events:  # type: ignore[type-var]
                    async for event in events:
                        if isinstance(event, TextDelta):
                            assert not server.requests[0].ended.is_set(), "text has to come before the answer is whole"
                            break
                    else:
                        raise AssertionError("no text came")
                return await asyncio.to_thread(server.requests[0].wait_ended, self.patience)

        with self.stage([Say("first"), Slow(3600), Say("second")]) as stage:
            assert stage.server is not None
            assert asyncio.run(work(stage, stage.server))
        assert stage.server.requests[0].closed_early

    def test_models_are_listed(self) -> None:
        """PROVIDER-MODELS-1: the models of the endpoint are listed by id, in its order."""
        self.need("model_list")

        async def work(stage: Stage) -> list[str]:
            async with self.serving() as provider:
                return [model.id for model in (await provider.models(ModelsQuery(endpoint=stage.endpoint))).models]

        with self.stage() as stage:
            assert stage.server is not None
            stage.server.models = ["small", "large"]
            assert asyncio.run(work(stage)) == ["small", "large"]
