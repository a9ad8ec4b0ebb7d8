"""The kinds of plugins that ``hermes plugins new`` begins, and what their files are made of.

Templates lie in ``templates/<kind>/``; what is the same for all in ``templates/common/``. ``{{name}}`` and its like
are replaced, in the files' text; see `words_of`.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import NamedTuple


class Kind(NamedTuple):
    """``code``: the file of the package that has the work. ``needs``: distributions, beside the kernel."""

    about: str
    code: str = "__init__.py"
    needs: tuple[str, ...] = ()


KINDS = {
    "tool": Kind("a function that the model can call", code="tools.py"),
    "provider": Kind("a wire to a model", needs=("hermes-plugin-openai>=1.0", "msgspec>=0.19")),
    "memory": Kind("what is remembered from one session to the next"),
    "context-engine": Kind("what is left out when a conversation outgrows the model's window"),
    "platform": Kind("a place where people write messages"),
    "terminal": Kind("where commands run and files live", needs=("hermes-plugin-terminal>=1.0", "msgspec>=0.19")),
    "store": Kind("where sessions are kept"),
    "secret-source": Kind("where keys are kept"),
    "service": Kind("work that goes on in the background"),
    "hook": Kind("a guard and an observer"),
    "command": Kind("a command of hermes's own", code="commands.py", needs=("click>=8.1",)),
    "data": Kind("an OpenAI-compatible endpoint, without Python"),
}


def words_of(kind: str, name: str) -> dict[str, str]:
    """What templates may name: ``weather-report`` as a module, a class, a variable and in words."""
    module = f"hermes_plugin_{name.replace('-', '_')}"
    code = KINDS[kind].code.removesuffix(".py")
    return {
        "name": name,
        "kind": kind,
        "about": KINDS[kind].about,
        "ident": name.replace("-", "_"),
        "Class": "".join(word.capitalize() for word in name.split("-")),
        "ENV": name.replace("-", "_").upper(),
        "module": module,
        "code_module": module if code == "__init__" else f"{module}.{code}",
    }


def template(path: str) -> str | None:
    """The text of a template, by ``<kind>/<file>``; None if there is none."""
    file = files("hermes_testkit.authoring") / "templates" / f"{path}.tmpl"
    return file.read_text(encoding="utf-8") if file.is_file() else None


def filled(text: str, words: dict[str, str]) -> str:
    """With the imports of plugins in the order of their names, whatever this one is called."""
    text = re.sub(r"\{\{(\w+)\}\}", lambda found: words[found[1]], text)
    return re.sub(r"(?m)(?:^from hermes_plugin_.*\n)+", lambda found: "".join(sorted(found[0].splitlines(True))), text)


def package_files(kind: str, name: str, *, workspace: bool) -> dict[str, str]:
    """Path in the package's folder → text. ``workspace``: it becomes a member of a uv workspace with the kernel."""
    words = words_of(kind, name)
    needs = ("hermes-kernel>=1.0", *KINDS[kind].needs)
    ours = [need.partition(">=")[0] for need in needs if need.startswith("hermes-")]
    sources = "".join(f"{distribution} = {{ workspace = true }}\n" for distribution in ours)
    tools = f"[tool.uv.sources]\n{sources}" if workspace else template("common/ruff.toml") or ""
    words["dependencies"] = ", ".join(f'"{need}"' for need in needs)
    words["tools"] = tools.rstrip("\n")
    words["usage"] = filled(template(f"{kind}/usage.md") or "", words).rstrip("\n")
    package = f"src/{words['module']}"
    made = {
        "pyproject.toml": template("common/pyproject.toml"),
        "README.md": template("common/README.md"),
        f"{package}/__init__.py": template(f"{kind}/__init__.py"),
        f"{package}/plugin.yaml": template(f"{kind}/plugin.yaml"),
        f"{package}/{KINDS[kind].code}": template(f"{kind}/{KINDS[kind].code}"),
        f"{package}/py.typed": "",
        f"tests/test_{words['ident']}.py": template(f"{kind}/test.py"),
    }
    return {path: filled(text, words) for path, text in made.items() if text is not None}


def drop_in(kind: str, name: str) -> tuple[str, str]:
    """The name of a home's single file, and its text."""
    words = words_of(kind, name)
    words["code_module"] = words["module"]
    manifest = filled(template(f"{kind}/header.yaml") or template(f"{kind}/plugin.yaml") or "", words)
    if kind == "data":
        return f"{name}.yaml", manifest
    header = "".join(f"# {line}".rstrip() + "\n" for line in manifest.splitlines())
    code = filled(template(f"{kind}/{KINDS[kind].code}") or "", words)
    return f"{words['ident']}.py", f"# /// hermes\n{header}# ///\n{code}"
