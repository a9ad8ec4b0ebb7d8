"""The pages of docs/write are true: whoever does what one says gets a plugin that works, and passes its suite."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hermes.plugins.loader import load_module
from hermes_testkit.model_server import ModelServer

docs: Any = load_module("docs_reader", str(Path(__file__).with_name("test_docs.py")))
PAGES = sorted((docs.DOCS / "write").glob("*.md"))


@pytest.fixture
def reader(tmp_path: Path, model_server: ModelServer) -> Any:
    """Somebody with an environment of their own, whose house has models that answer."""
    reader = docs.Reader(tmp_path, model_server)
    docs.make_environment(reader, tmp_path / "environment")
    reader.hermes.environ |= {"HOUSE_BASE_URL": model_server.url, "HOUSE_API_KEY": "a-key"}
    model_server.script("Hello.")
    return reader


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_can_be_followed(page: Path, reader: Any) -> None:
    """Files are written, commands are run in order, and print what the page says they do."""
    blocks = docs.blocks(page)
    made, passed = [], 0
    for number, block in enumerate(blocks):
        if block.file:
            made.append(reader.make_file(block))
        elif block.language == "sh":
            ran = reader.type(f"export UV_OFFLINE=1\n{block.body}")
            if "may only be read from the cache" in ran.err:
                ran = reader.type(block.body)
            assert ran.code == 0, f"{block.body}\n{ran.out}\n{ran.err}"
            passed += "python -m pytest" in block.body and bool(re.search(r"(?m)^\d+ passed", ran.out))
            assert "✗" not in ran.out
            following = blocks[number + 1] if number + 1 < len(blocks) else None
            if following is not None and following.language == "text":
                printed = f"{ran.err}\n{ran.out}".splitlines()
                assert all(line in printed for line in following.body.splitlines()), ran
        else:
            assert block.language == "text", f"{block.body} is neither a file nor a command nor what one prints"
    assert passed == 1
    assert {file.name for file in made} >= {"plugin.yaml", f"test_{of_page(page)}.py"}


def of_page(page: Path) -> str:
    """The name of the plugin that the page builds."""
    (name,) = re.findall(r"(?m)^hermes plugins new \S+ (\w+)$", page.read_text(encoding="utf-8"))
    return str(name)


def test_there_is_a_page_for_each_of_the_common_kinds() -> None:
    assert {page.stem for page in PAGES} == {"hook", "memory", "platform", "provider", "tool"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_linked_and_its_links_lead_somewhere(page: Path) -> None:
    docs.test_links_lead_somewhere(page)
    assert f"](write/{page.name})" in (docs.DOCS / "plugins.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_tells_the_rules_of_its_contract(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for rule in ("**Deadlines.**", "**Failure.**", "**Values only.**", "plugin host"):
        assert rule in text, f"{page.name} does not tell of {rule}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_of_wrapped_lines(page: Path) -> None:
    for line in page.read_text(encoding="utf-8").splitlines():
        assert len(line) <= 120, line
