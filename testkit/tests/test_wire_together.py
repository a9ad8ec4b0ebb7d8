"""All wires of the fake model server at once, and what is the same on each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from hermes_testkit.model_server import (
    Call,
    Cut,
    Fail,
    Finish,
    KeepAlive,
    ModelServer,
    Refuse,
    Reply,
    Say,
    Slow,
    Think,
    Tokens,
)
from hermes_testkit.wire.blocks import Block, Delta, Start, Stop, blocks, steps
from hermes_testkit.wires import WIRES


class Sent(NamedTuple):
    """A request, with what makes it one for a stream."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str] = {}
    stream_path: str = ""

    def for_stream(self) -> Sent:
        if self.stream_path:
            return self._replace(path=self.stream_path)
        return self._replace(body={**self.body, "stream": True})


MESSAGES = [{"role": "user", "content": "Hello"}]
SENT = {
    "chat_completions": Sent("/v1/chat/completions", {"model": "m", "messages": MESSAGES}),
    "responses": Sent("/v1/responses", {"model": "m", "input": "Hello"}),
    "anthropic_messages": Sent(
        "/v1/messages",
        {"model": "m", "max_tokens": 9, "messages": MESSAGES},
        {"x-api-key": "any", "anthropic-version": "2023-06-01"},
    ),
    "gemini": Sent(
        "/v1beta/models/m:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
        {"x-goog-api-key": "any"},
        "/v1beta/models/m:streamGenerateContent?alt=sse",
    ),
    "bedrock_converse": Sent(
        "/model/m/converse",
        {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]},
        {"Authorization": "Bearer any"},
        "/model/m/converse-stream",
    ),
}
wires = pytest.mark.parametrize("wire", sorted(SENT))


@pytest.fixture
def connection(model_server: ModelServer) -> Iterator[HTTPConnection]:
    with closing(HTTPConnection("127.0.0.1", int(model_server.root.rpartition(":")[2]), timeout=10)) as connection:
        yield connection


def send(connection: HTTPConnection, sent: Sent) -> HTTPResponse:
    connection.request("POST", sent.path, json.dumps(sent.body), sent.headers)
    return connection.getresponse()


def test_every_wire_that_can_be_read_is_tried_here() -> None:
    assert SENT.keys() == WIRES.keys()


def test_one_server_speaks_them_all(model_server: ModelServer, connection: HTTPConnection) -> None:
    for sent in SENT.values():
        for asked in (sent, sent.for_stream()):
            response = send(connection, asked)
            assert (response.status, b"OK" in response.read()) == (200, True)
    assert [seen.wire for seen in model_server.requests] == [name for name in SENT for _ in range(2)]
    assert {seen.connection for seen in model_server.requests} == {1}
    for seen in model_server.requests:
        assert WIRES[seen.wire].read(seen).turns == [("user", "Hello")]


@wires
def test_a_base_url_is_what_the_path_begins_with(model_server: ModelServer, wire: str) -> None:
    assert f"{model_server.root}{SENT[wire].path}".startswith(WIRES[wire].base_url(model_server))


@wires
@pytest.mark.parametrize(
    "reply",
    [
        [KeepAlive(), Think("Hm"), Say("a"), KeepAlive(), Call("f", {"x": 1}), Call("g", ""), Tokens(9, 9)],
        [Tokens(9, 9), Refuse("No")],
        [Say("half"), Finish("length")],
        Say(""),
        [],
    ],
    ids=["all", "refusal", "length", "empty", "nothing"],
)
def test_every_reply_ends(connection: HTTPConnection, wire: str, reply: Reply, model_server: ModelServer) -> None:
    model_server.default = reply
    assert json.loads(send(connection, SENT[wire]).read())
    response = send(connection, SENT[wire].for_stream())
    assert response.getheader("Content-Type", "").partition(";")[0] in (
        *["text/event-stream", "application/vnd.amazon.eventstream"],
    )
    assert response.read()
    assert model_server.requests[1].wait_ended()
    assert not model_server.requests[1].closed_early


@wires
def test_a_client_that_leaves_early_is_noticed(
    model_server: ModelServer, connection: HTTPConnection, wire: str
) -> None:
    model_server.script([Say("first"), Slow(3600), Say("second")])
    send(connection, SENT[wire].for_stream()).read(1)
    connection.close()
    seen = model_server.requests[0]
    assert seen.wait_ended()
    assert seen.closed_early


@wires
def test_a_body_that_is_no_json_is_refused_in_the_vendors_form(connection: HTTPConnection, wire: str) -> None:
    for body in (b"{", b"[]"):
        connection.request("POST", SENT[wire].path, body, SENT[wire].headers)
        response = connection.getresponse()
        said = json.loads(response.read())
        assert response.status == 400
        assert "not a JSON object" in said.get("error", said)["message"]


@wires
def test_errors_say_what_they_are_told_to(model_server: ModelServer, connection: HTTPConnection, wire: str) -> None:
    told = Fail(418, message="I am a teapot", headers={"X-Tea": "yes"})
    model_server.script(told, Fail(418, "just text"), Fail(418, {"any": "body"}))
    response = send(connection, SENT[wire])
    said = json.loads(response.read())
    assert (response.status, response.getheader("X-Tea")) == (418, "yes")
    assert said.get("error", said)["message"] == "I am a teapot"
    assert send(connection, SENT[wire]).read() == b"just text"
    assert json.loads(send(connection, SENT[wire]).read()) == {"any": "body"}


@wires
def test_the_usual_reasons_have_a_text_of_their_own(
    model_server: ModelServer, connection: HTTPConnection, wire: str
) -> None:
    model_server.script(Fail(400), *[Fail(400, reason=reason) for reason in ("overflow", "filtered", "quota")])
    said = [json.loads(send(connection, SENT[wire]).read()) for _ in range(4)]
    assert len({body.get("error", body)["message"] for body in said}) == 4


@wires
def test_an_answer_that_is_cut_is_not_whole(model_server: ModelServer, connection: HTTPConnection, wire: str) -> None:
    model_server.script([Say("one two"), Cut()])
    response = send(connection, SENT[wire])
    with pytest.raises(IncompleteRead) as caught:
        response.read()
    assert len(caught.value.partial) == int(response.headers["Content-Length"]) // 2


def test_paths_that_are_nobodys_are_not_found(model_server: ModelServer, connection: HTTPConnection) -> None:
    for path in ("/v1/embeddings", "/model/m/invoke", "/v1beta/models/m:countTokens"):
        assert send(connection, Sent(path, {})).read()
    assert [seen.wire for seen in model_server.other_requests] == ["", "", ""]
    assert model_server.requests == []


def test_blocks_are_runs_of_one_kind() -> None:
    reply = [
        *[Think("a"), Think("b"), Think("c", signature="bWluZQ=="), Think("", redacted=True)],
        *[Say("d"), KeepAlive(), Say("e f"), Call("g", "{}", chunks=1), Tokens(1, 1), Call("g", ""), Refuse("h")],
    ]
    found = blocks(reply, 7, "call")
    assert [(block.kind, text) for block, text in found] == [
        *[("thinking", "ab"), ("thinking", "c"), ("redacted", ""), ("text", "de f")],
        *[("call", "{}"), ("call", ""), ("refusal", "h")],
    ]
    assert [block.index for block, _ in found] == list(range(7))
    assert [block.id for block, _ in found if block.kind == "call"] == ["call_7_0", "call_7_1"]
    assert found[1].block.signature == "bWluZQ=="
    assert len({block.signature for block, _ in found if block.signature}) == 3


def test_every_block_starts_once_and_stops_before_the_next_starts() -> None:
    reply = [Say("a b"), KeepAlive(), Say("c"), Call("g", {"x": 1}), Cut()]
    kinds = [type(step) for step in steps(reply, 1, "call")]
    assert kinds == [Start, Delta, Delta, KeepAlive, Delta, Stop, Start, Delta, Delta, Delta, Cut, Stop]
    own: list[Block] = [step.block for step in steps(reply, 1, "call") if isinstance(step, Start | Delta | Stop)]
    assert all(before.index <= after.index for before, after in pairwise(own))
