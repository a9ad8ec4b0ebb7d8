"""Ids of calls, their arguments, and the ladder of efforts."""

from __future__ import annotations

import re

import msgspec
import pytest

from hermes import Endpoint, Message, ModelRequest, ToolCallPart
from hermes_carrier.calls import CallIds, accepted_id, arguments_of
from hermes_carrier.efforts import EFFORTS, nearest

FORM = re.compile(r"[a-z0-9_]{1,40}")


def asked(*ids: str, request_id: str = "r1") -> ModelRequest:
    calls = tuple(ToolCallPart(id=call_id, name="look") for call_id in ids)
    return ModelRequest(
        id=request_id,
        session_id="s",
        turn_id="t",
        endpoint=Endpoint(provider="acme"),
        model="m",
        messages=(Message(role="assistant", parts=calls),),
    )


def test_an_id_that_is_free_is_kept() -> None:
    assert CallIds(asked("a")).free("b") == "b"


@pytest.mark.parametrize("given", ["", None, "a"])
def test_an_id_that_is_missing_or_used_is_replaced_the_same_way_each_time(given: str | None) -> None:
    made = CallIds(asked("a")).free(given)
    assert re.fullmatch(r"call_[0-9a-f]{24}", made)
    assert made == CallIds(asked("a")).free(given)
    assert made != CallIds(asked("a", request_id="r2")).free(given)


def test_no_id_is_given_out_twice_in_an_answer_or_after_it() -> None:
    ids = CallIds(asked(), prefix="toolu_")
    first = [ids.free(""), ids.free("x"), ids.free("x"), ids.free("")]
    assert len(set(first)) == 4
    assert all(made.startswith("toolu_") for made in first if made != "x")
    assert CallIds(asked(*first), prefix="toolu_").free("") not in first


@pytest.mark.parametrize(("arguments", "kept"), [("", "{}"), (" \n", "{}"), ('{"a":1}', '{"a":1}'), ('{"a', '{"a')])
def test_a_call_of_an_answer_has_arguments(arguments: str, kept: str) -> None:
    assert CallIds(asked()).call("c", "look", arguments) == ToolCallPart(id="c", name="look", arguments=kept)


def test_an_id_that_the_vendor_refuses_is_always_the_same_other_one() -> None:
    assert accepted_id("call_a", FORM) == "call_a"
    odd = accepted_id("Größe:1", FORM)
    assert FORM.fullmatch(odd)
    assert odd == accepted_id("Größe:1", FORM) != accepted_id("Größe:2", FORM)
    assert len(accepted_id("Größe", re.compile("[0-9a-f]{9}"), prefix="", digits=9)) == 9


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ('{"b": 1, "a": [1.50, 1e400]}', '{"b": 1, "a": [1.50, 1e400]}'),
        ("", "{}"),
        ("[1]", '{"arguments":"[1]"}'),
        ('{"half": ', '{"arguments":"{\\"half\\": "}'),
    ],
)
def test_arguments_go_out_as_they_were_written_or_inside_an_object(written: str, sent: str) -> None:
    call = ToolCallPart(id="c", name="look", arguments=written)
    assert msgspec.json.encode(arguments_of(call)).decode() == sent


@pytest.mark.parametrize(
    ("known", "lower", "higher"),
    [
        (("low", "medium", "high"), "low low low medium high high high", "low low low medium high high high"),
        (("low", "high"), "low low low low high high high", "low low low high high high high"),
        (("none", "max"), "none none none none max max max", "none none none max max max max"),
        (("max", "odd", "none"), "none none none none max max max", "none none none max max max max"),
    ],
)
def test_the_nearest_effort_that_a_model_knows(known: tuple[str, ...], lower: str, higher: str) -> None:
    assert [nearest(effort, known) for effort in EFFORTS] == lower.split()
    assert [nearest(effort, known, upwards=True) for effort in EFFORTS] == higher.split()


def test_an_effort_without_a_ladder_stays_as_it_is() -> None:
    assert nearest("high", ()) == "high"
    assert nearest("ultra", ("low",)) == "ultra"
