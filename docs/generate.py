"""Writes the reference pages: what code knows is told by code. ``make docs``; CI fails if a page is stale."""

from __future__ import annotations

import inspect
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from hermes.cli.config import json_schema
from hermes.cli.options import chat_options
from hermes.cli.output import Output
from hermes.cli.root import EXIT_CODES, LazyGroup, build, plugin_options
from hermes.config.home import Home
from hermes.config.schema import ENVIRONMENT
from hermes.contracts import hookspecs
from hermes.plugins.index import Index, build_index

HERE = Path(__file__).parent
NOTE = "<!-- Written by docs/generate.py from the code: do not edit. -->\n"


def hooks_page() -> str:
    lines = [NOTE, "# Hooks", "", inspect.cleandoc(hookspecs.__doc__ or ""), ""]
    for name, value in vars(hookspecs).items():
        if hasattr(value, f"{hookspecs.PROJECT}_spec"):
            lines += [f"## `{name}`", "", f"```python\n{name}{_signature(value)}\n```", ""]
            lines += [inspect.cleandoc(value.__doc__ or ""), ""]
    lines += ["# Values", "", "What the hooks are given. All are frozen structs.", ""]
    for value in vars(hookspecs).values():
        if inspect.isclass(value) and value.__module__ == hookspecs.__name__:
            lines += [f"## `{value.__name__}`", "", inspect.cleandoc(value.__doc__ or ""), ""]
            lines += [f"- `{field}`" for field in value.__struct_fields__] + [""]
    return "\n".join(lines)


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    parameters = ", ".join(f"{name}: {item.annotation}" for name, item in signature.parameters.items())
    returns = str(signature.return_annotation).removeprefix("MaybeAwaitable[").removesuffix("]")
    return f"({parameters}) -> {returns}"


def cli_page(index: Index, root: click.Group) -> str:
    lines = [NOTE, "# Command line", "", "```", EXIT_CODES.removeprefix("\b\n").rstrip(), "```", ""]
    lines += _command("hermes", root, index)
    return "\n".join(lines)


def _command(name: str, command: click.Command, index: Index) -> list[str]:
    lines = [f"## `{name}`", "", (command.help or "").strip(), ""]
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            metavar = f" {parameter.metavar}" if parameter.metavar else ""
            lines.append(f"- `{', '.join(parameter.opts)}{metavar}`: {parameter.help or ''}".rstrip(": "))
        elif isinstance(parameter, click.Argument):
            lines.append(f"- `{(parameter.metavar or parameter.name or '').upper()}`")
    lines.append("")
    if isinstance(command, click.Group):
        context = click.Context(command)
        context.meta["hermes.index"] = index
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            lines += _command(f"{name} {child}", found, index)
    return lines


def config_page(index: Index) -> str:
    schema = json_schema(index)
    lines = [NOTE, "# Settings", "", "`config.yaml` in the home. Order: flag, environment, project, home, default.", ""]
    lines += _section("", schema["$defs"]["Settings"], schema["$defs"])
    lines += ["## Environment", ""]
    lines += [f"- `{variable}` sets `{dotted}`" for variable, dotted in ENVIRONMENT.items()]
    return "\n".join([*lines, "- `HERMES_HOME`: the home; `~/.hermes` by default", ""])


def _section(prefix: str, schema: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    plain, nested = [], []
    for key, value in schema.get("properties", {}).items():
        inner = _resolved(value, definitions)
        name = f"{prefix}{key}"
        if inner.get("properties") and not name.count(".") > 2:
            nested += [f"## `{name}`", "", inner.get("description", ""), ""]
            nested += _section(f"{name}.", inner, definitions)
        else:
            kind = inner.get("type") or " or ".join(item.get("type", "…") for item in inner.get("anyOf", [])) or "…"
            default = f", default `{value['default']!r}`" if "default" in value else ""
            plain.append(f"- `{name}` ({kind}{default}): {value.get('description', inner.get('description', ''))}")
    return [*plain, "", *nested]


def _resolved(value: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    for item in [value, *value.get("anyOf", [])]:
        if "$ref" in item:
            found: dict[str, Any] = definitions[item["$ref"].rpartition("/")[2]]
            return found
    return value


def tools_page(index: Index) -> str:
    lines = [NOTE, "# Tools", "", "Of the plugins that come with `hermes-agent`.", ""]
    for plugin in sorted(index.plugins, key=lambda plugin: plugin.name):
        for name, entry in sorted(plugin.tools.items()):
            options = entry.options
            lines += [f"## `{name}`", "", entry.description, ""]
            lines += [f"Toolset `{options.toolset}`, risk `{options.risk}`, effects `{options.effects}`.", ""]
            required = entry.parameters.get("required", [])
            properties: Any = entry.parameters.get("properties", {})
            for key, schema in properties.items():
                star = " (required)" if key in required else ""  # type: ignore[operator]
                lines.append(f"- `{key}`{star}: {schema.get('description', schema.get('type', ''))}")
            lines.append("")
    return "\n".join(lines)


def pages() -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        index = build_index(Home(Path(folder)), "docs")
    root = build(["--ignore-user-config"], _NoOutput())
    assert isinstance(root, LazyGroup)
    assert chat_options(plugin_options(index))
    return {
        "hooks.md": hooks_page(),
        "cli.md": cli_page(index, root),
        "config.md": config_page(index),
        "tools.md": tools_page(index),
    }


class _NoOutput(Output):
    """Nothing is printed while the pages are made."""

    def __init__(self) -> None:
        self.is_terminal = False


def main() -> int:
    stale = []
    for name, text in pages().items():
        file = HERE / "reference" / name
        text = "\n".join(line.rstrip() for line in text.splitlines()).rstrip() + "\n"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                file.parent.mkdir(exist_ok=True)
                file.write_text(text, encoding="utf-8")
    for name in stale:
        sys.stderr.write(f"docs/reference/{name} {'is stale' if '--check' in sys.argv else 'written'}\n")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
