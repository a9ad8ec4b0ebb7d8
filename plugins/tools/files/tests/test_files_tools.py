from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from hermes.contracts.errors import ToolError
from hermes.contracts.messages import ImagePart
from hermes_plugin_files import provide
from hermes_plugin_files.tools import patch, read_file, search_files, write_file
from hermes_plugin_terminal.local import LocalTerminal
from hermes_testkit.terminal_suite import ToolHarness

Scenario = Callable[[ToolHarness], Coroutine[Any, Any, None]]


def use(tmp_path: Path, scenario: Scenario) -> None:
    async def run() -> None:
        async with ToolHarness(LocalTerminal(), tmp_path, plugin="files", provisions=provide()) as tools:
            await scenario(tools)

    asyncio.run(run())


def test_reading(tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("a\nb\n")
    (tmp_path / "open.txt").write_text("a\n\nb")
    (tmp_path / "windows.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\r\n")
    (tmp_path / "wide.txt").write_text("ü\n", encoding="utf-16")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "many.txt").write_text("".join(f"line {i}\n" for i in range(1, 1001)))
    (tmp_path / "long.txt").write_text("x" * 5000)

    async def scenario(tools: ToolHarness) -> None:
        assert await tools.call(read_file, path="two.txt") == "1|a\n2|b"
        assert await tools.call(read_file, path=str(tmp_path / "open.txt")) == "1|a\n2|\n3|b"
        assert await tools.call(read_file, path="windows.txt") == "1|a\n2|b"
        assert await tools.call(read_file, path="wide.txt") == "1|ü"
        assert await tools.call(read_file, path="empty.txt") == "(the file is empty)"
        page = await tools.call(read_file, path="many.txt", offset=499, limit=2)
        assert page == "499|line 499\n500|line 500\n[lines 499-500 of 1000; go on with offset=501]"
        assert await tools.call(read_file, path="many.txt", offset=1000) == "1000|line 1000"
        with pytest.raises(ToolError, match="only 1000 lines"):
            await tools.call(read_file, path="many.txt", offset=1001)
        assert await tools.call(read_file, path="long.txt") == f"1|{'x' * 2000} [… 3,000 characters]"

    use(tmp_path, scenario)


def test_reading_a_large_file_stops_early(tmp_path: Path) -> None:
    (tmp_path / "large.log").write_text("".join(f"{i:099d}\n" for i in range(50_000)))

    async def scenario(tools: ToolHarness) -> None:
        page = await tools.call(read_file, path="large.log", offset=20_000, limit=2)
        assert page == f"20000|{19999:099d}\n20001|{20000:099d}\n[lines 20000-20001 of more; go on with offset=20002]"
        whole = await tools.call(read_file, path="large.log", limit=2000)
        assert len(whole) < 50_000
        assert "go on with offset=" in whole
        assert await tools.call(read_file, path="large.log", offset=50_000) == f"50000|{49999:099d}"

    use(tmp_path, scenario)


def test_what_is_no_text(tmp_path: Path) -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(100)
    (tmp_path / "a.png").write_bytes(png)
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7 \x00")
    (tmp_path / "a.bin").write_bytes(b"abc\0def")
    os.mkfifo(tmp_path / "pipe")

    async def scenario(tools: ToolHarness) -> None:
        assert await tools.call(read_file, path="a.png") == ImagePart(media_type="image/png", data=png)
        for path, message in (
            ("a.pdf", "a PDF, 10 bytes"),
            ("a.bin", "no text, 7 bytes"),
            (".", "a directory"),
            ("pipe", "no regular"),
        ):
            with pytest.raises(ToolError, match=message):
                await tools.call(read_file, path=path)

    use(tmp_path, scenario)


def test_missing_files_name_similar_ones(tmp_path: Path) -> None:
    (tmp_path / "settings.py").touch()
    (tmp_path / "test_settings.py").touch()

    async def scenario(tools: ToolHarness) -> None:
        with pytest.raises(ToolError, match=r"no file setings\.py\. Similar: settings\.py, test_settings\.py"):
            await tools.call(read_file, path="setings.py")
        with pytest.raises(ToolError, match=r"no directory .*/nowhere either"):
            await tools.call(read_file, path="nowhere/a.py")

    use(tmp_path, scenario)


def test_writing(tmp_path: Path) -> None:
    async def scenario(tools: ToolHarness) -> None:
        assert await tools.call(write_file, path="a/b.txt", content="ü\nx") == "Created a/b.txt: 4 bytes, 2 lines."
        assert await tools.call(write_file, path="a/b.txt", content="1\n") == "Replaced a/b.txt: 2 bytes, 1 line."
        assert (tmp_path / "a/b.txt").read_text() == "1\n"
        assert await tools.call(write_file, path="empty", content="") == "Created empty: 0 bytes, 0 lines."

    use(tmp_path, scenario)


@pytest.mark.parametrize(
    ("name", "good", "bad", "place"),
    [
        ("a.json", '{"a": 1}', '{"a": 1,\n "b": }', "JSON: line 2"),
        ("a.yaml", "a: [1]\n---\nb: 2", "a: 1\nb: }x", "YAML: line 2"),
        ("a.toml", "a = 1", "a = 1\nb = \nc = 2", "TOML: .*line 2"),
        ("a.py", "x = '\\d'", "x = 1\ndef f(:\n", "Python: line 2"),
    ],
)
def test_what_does_not_parse_is_written_and_said(tmp_path: Path, name: str, good: str, bad: str, place: str) -> None:
    async def scenario(tools: ToolHarness) -> None:
        assert "not valid" not in await tools.call(write_file, path=name, content=good)
        answer = await tools.call(write_file, path=name, content=bad)
        assert re.search(place, answer), answer
        assert (tmp_path / name).read_text() == bad

    use(tmp_path, scenario)


def test_what_changed_on_disk_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one\n")

    async def scenario(tools: ToolHarness) -> None:
        await tools.call(read_file, path="a.txt")
        file.write_text("two\n")
        os.utime(file, (1_600_000_000, 1_600_000_000))
        with pytest.raises(ToolError, match="Read it again"):
            await tools.call(write_file, path="a.txt", content="three")
        with pytest.raises(ToolError, match="Read it again"):
            await tools.call(patch, path="a.txt", old="two", new="three")
        assert file.read_text() == "two\n"
        await tools.call(read_file, path="a.txt")
        await tools.call(patch, path="a.txt", old="two", new="three")
        await tools.call(write_file, path="a.txt", content="four")
        assert file.read_text() == "four"

    use(tmp_path, scenario)


def test_patching(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("def f():\n    return 1\n\n\ndef g():\n    return 1\n")
    file.chmod(0o755)

    async def scenario(tools: ToolHarness) -> None:
        diff = await tools.call(patch, path="a.py", old="def f():\n    return 1", new="def f():\n    return 2")
        assert diff.splitlines()[:2] == ["--- a.py before", "+++ a.py after"]
        assert "-    return 1\n+    return 2" in diff
        with pytest.raises(ToolError, match=r"2 times in a\.py, at lines 2, 6"):
            await tools.call(patch, path="a.py", old="    return", new="    yield")
        await tools.call(patch, path="a.py", old="    return", new="    yield", replace_all=True)
        assert file.read_text() == "def f():\n    yield 2\n\n\ndef g():\n    yield 1\n"
        assert file.stat().st_mode & 0o777 == 0o755
        with pytest.raises(ToolError, match=r"not in a\.py\. The closest is:\n5\|def g\(\):\n6\|    yield 1"):
            await tools.call(patch, path="a.py", old="def gg():\n    yield 9", new="")
        assert "not valid Python: line 1" in await tools.call(patch, path="a.py", old="def f():", new="def f(:")
        with pytest.raises(ToolError, match="no file nope"):
            await tools.call(patch, path="nope", old="a", new="b")
        with pytest.raises(ToolError, match="the same"):
            await tools.call(patch, path="a.py", old="a", new="a")

    use(tmp_path, scenario)


def test_patching_keeps_windows_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"a\r\nb\r\nc\r\n")

    async def scenario(tools: ToolHarness) -> None:
        await tools.call(patch, path="a.txt", old="a\nb", new="x\ny\nz")
        assert file.read_bytes() == b"x\r\ny\r\nz\r\nc\r\n"

    use(tmp_path, scenario)


ENVELOPE = """*** Begin Patch
*** Update File: a.py
@@ def g():
-    return 1
+    return 2
*** Add File: new/b.txt
+hello
+
+world
*** Delete File: old.txt
*** Update File: c.txt
*** Move to: moved.txt
@@
 one
-two
+2
 three
*** End Patch"""


def test_patching_several_files(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f():\n    return 1\ndef g():\n    return 1\n")
    (tmp_path / "old.txt").touch()
    (tmp_path / "c.txt").write_text("one\ntwo\nthree\n")

    async def scenario(tools: ToolHarness) -> None:
        with pytest.raises(ToolError, match="does not fit"):
            await tools.call(patch, patch=ENVELOPE.replace("-two", "-four"))
        assert (tmp_path / "old.txt").exists(), "nothing is changed when one hunk does not fit"
        answer = await tools.call(patch, patch=ENVELOPE)
        assert "Deleted old.txt." in answer
        assert "Moved c.txt to moved.txt." in answer
        assert (tmp_path / "a.py").read_text() == "def f():\n    return 1\ndef g():\n    return 2\n"
        assert (tmp_path / "new/b.txt").read_text() == "hello\n\nworld\n"
        assert (tmp_path / "moved.txt").read_text() == "one\n2\nthree\n"
        assert not (tmp_path / "old.txt").exists()
        assert not (tmp_path / "c.txt").exists()

    use(tmp_path, scenario)


@pytest.fixture(params=["grep", "rg"])
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The search with and without rg on the PATH, whatever this machine has."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "grep", "find", "head", "ls", "xargs"):
        (programs / name).symlink_to(shutil.which(name) or name)
    if request.param == "rg":
        found = shutil.which("rg")
        if found is None:
            pytest.skip("this machine has no rg")
        (programs / "rg").symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))
    return str(request.param)


def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name, text, age in (
        ("a.py", "import os\nneedle = 1\nprint(needle)\n", 30),
        ("src/b.py", "x = 'needle 42'\n", 10),
        ("src/c.txt", "needle\n", 20),
        ("node_modules/d.py", "needle\n", 5),
        (".git/e", "needle\n", 5),
        ("bin", "needle\0", 5),
    ):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        os.utime(file, (1_700_000_000 - age, 1_700_000_000 - age))
    return root


def search(root: Path, *calls: tuple[dict[str, Any], str]) -> None:
    async def run() -> None:
        async with ToolHarness(LocalTerminal(), root, plugin="files", provisions=provide()) as tools:
            for arguments, expected in calls:
                assert await tools.call(search_files, **arguments) == expected

    asyncio.run(run())


@pytest.mark.usefixtures("engine")
def test_searching_content(tmp_path: Path) -> None:
    root = tree(tmp_path)
    search(
        root,
        (
            {"pattern": "^needle|x =", "glob": "*.py"},
            "a.py:2:needle = 1\nsrc/b.py:1:x = 'needle 42'",
        ),
        ({"pattern": r"needle \d+"}, "src/b.py:1:x = 'needle 42'"),
        (
            {"pattern": "needle = 1", "path": "a.py", "context": 1},
            "a.py-1-import os\na.py:2:needle = 1\na.py-3-print(needle)",
        ),
        ({"pattern": "needle", "glob": "src/*.py"}, "src/b.py:1:x = 'needle 42'"),
        ({"pattern": "nothing like it"}, "Nothing found for 'nothing like it' in ."),
        ({"pattern": "needle", "path": str(root / "src"), "glob": "*.txt"}, f"{root}/src/c.txt:1:needle"),
        ({"pattern": "needle", "path": "a.py", "limit": 1}, "a.py:2:needle = 1\n[the first 1 matches; there are more]"),
        ({"pattern": "-e it's $HOME", "glob": "*"}, 'Nothing found for "-e it\'s $HOME" in . (*)'),
    )


@pytest.mark.usefixtures("engine")
def test_searching_files_and_counts(tmp_path: Path) -> None:
    search(
        tree(tmp_path),
        ({"pattern": "needle", "mode": "files"}, "src/b.py\nsrc/c.txt\na.py"),
        ({"pattern": "", "mode": "files", "glob": "*.py"}, "src/b.py\na.py"),
        ({"pattern": "", "mode": "files", "glob": "*.py", "limit": 1}, "src/b.py\n[the first 1; there are more]"),
        ({"pattern": "needle", "mode": "count", "glob": "*.py"}, "3 in 2 files\na.py: 2\nsrc/b.py: 1"),
    )


@pytest.mark.usefixtures("engine")
def test_search_errors(tmp_path: Path) -> None:
    async def scenario(tools: ToolHarness) -> None:
        with pytest.raises(ToolError, match="search failed"):
            await tools.call(search_files, pattern="(open")
        with pytest.raises(ToolError, match="no file nowhere"):
            await tools.call(search_files, pattern="x", path="nowhere")
        with pytest.raises(ToolError, match="pattern is empty"):
            await tools.call(search_files, pattern="")

    use(tmp_path, scenario)
