from __future__ import annotations

import pytest

from hermes.contracts.errors import ToolError
from hermes_plugin_files.envelope import parse, updated
from hermes_plugin_files.matching import replace


@pytest.mark.parametrize(
    ("text", "old", "new", "result"),
    [
        ("a b c", "b", "x", "a x c"),
        ("  a  \n  b\n", "  a\n  b", "  x", "  x\n"),
        ("say “hi” – now\n", 'say "hi" - now', "bye", "bye\n"),
        ("class A:\n    def f(self):\n        pass\n", "def f(self):\n    pass", "def f(self):\n    x\n\n    y", None),
        ("f(a,   b)\nend\n", "f(a, b)\nend", "g()", "g()\n"),
        ("a\nb\nc\n", "b\n", "", "a\nc\n"),
        ("a \nb\n", "a\n", "x\n", "x\nb\n"),
        ("\tif x:\n\t\ty\n", "if x:\n\ty\n", "if z:\n\ty\n", "\tif z:\n\t\ty\n"),
    ],
)
def test_replacing(text: str, old: str, new: str, result: str | None) -> None:
    if result is None:
        result = "class A:\n    def f(self):\n        x\n\n        y\n"
    assert replace(text, old, new, every=False, path="f") == result


def test_a_stricter_match_decides() -> None:
    assert replace("x=1\n x=1\n", "x=1\n x", "y", every=False, path="f") == "y=1\n"
    assert replace("  a\na\n", "\na\n", "\nb\n", every=False, path="f") == "  a\nb\n"


def test_ambiguity_names_the_lines() -> None:
    with pytest.raises(ToolError, match="2 times in f, at lines 1, 3"):
        replace("“a”\n-\n“a”\n", '"a"', "b", every=False, path="f")
    assert replace("“a”\n-\n“a”\n", '"a"', "b", every=True, path="f") == "b\n-\nb\n"


def test_nothing_like_it() -> None:
    with pytest.raises(ToolError, match="Read the file"):
        replace("abc\n" * 10, "zzzzzz yyyyyy", "", every=False, path="f")


def test_hunks_match_whole_lines_after_their_anchor() -> None:
    text = "xa\na\ndef f():\n    a\ndef g():\n    a\n"
    (patch,) = parse("*** Begin Patch\n*** Update File: f\n@@ def g():\n-    a\n+    b\n*** End Patch")
    assert updated(text, patch) == "xa\na\ndef f():\n    a\ndef g():\n    b\n"
    (patch,) = parse("*** Begin Patch\n*** Update File: f\n-a\n*** End Patch")
    assert updated(text, patch) == "xa\ndef f():\n    a\ndef g():\n    a\n"
    (patch,) = parse("*** Begin Patch\n*** Update File: f\n@@ def f():\n+    new\n*** End Patch")
    assert updated(text, patch) == "xa\na\ndef f():\n    new\n    a\ndef g():\n    a\n"
    (patch,) = parse("*** Update File: f\n+end")
    assert updated("a", patch) == "a\nend\n"


@pytest.mark.parametrize("text", ["", "nonsense", "*** Update File: f\n@@\n?what"])
def test_what_is_no_patch(text: str) -> None:
    with pytest.raises(ToolError, match="patch"):
        parse(text)
