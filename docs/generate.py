"""Writes the reference pages: what code knows is told by code. ``make docs``; CI fails if a page is stale."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import yaml

from hermes.cli.config import json_schema
from hermes.cli.output import Output
from hermes.cli.report import EXIT_OF_OUTCOME
from hermes.cli.root import EXIT_CODES, LazyGroup, build
from hermes.config.home import Home
from hermes.config.schema import ENVIRONMENT
from hermes.contracts import events, hookspecs
from hermes.contracts.provider import ModelInfo, ProviderSpec
from hermes.plugins.index import Index, build_index
from hermes.plugins.manifest import read_manifest

HERE = Path(__file__).parent
NOTE = "<!-- Written by docs/generate.py from the code: do not edit. -->\n"
FAILURE = re.compile(r"\s*Failure(?:, a wrong type or a passed deadline)?: (?P<what>[^.]+)\.$")

HOOKS_INTRO = """Every hook that a plugin may implement: when it is called, what it is given, what it may answer, and
what happens when an implementation fails. How to write one is in [plugins](../plugins.md).

Mark an implementation with `hookimpl`. It may be a plain function or a coroutine, and it takes those of the arguments
that it wants, by name; `ctx`, where it is named, is the plugin's `PluginContext`. An implementation fails when it
raises, calls `sys.exit`, passes its deadline or answers with a wrong type. That is logged with the plugin's name and
told once; what becomes of the run is said with each hook."""

HOOKIMPL_OPTIONS = """`hookimpl` without arguments is the usual form. It takes:

- `deadline`: seconds an implementation may take. Left out: 5, and 30 for `pre_tool_call` and `on_message`.
- `tools`: names of tools; `rewrite_tool_call`, `pre_tool_call`, `post_tool_call` and `transform_tool_result` are then
  called for these only.
- `tryfirst`, `trylast`: before, or after, those of other plugins.
- `specname`: the hook's name, where the function has another."""


def plain(text: str) -> str:
    """Docstrings mark code with two backticks, Markdown with one."""
    return inspect.cleandoc(text).replace("``", "`")


def line_of(text: str) -> str:
    """A docstring's text on one line, as cells of tables and items of lists need it."""
    return re.sub(r"\s*\n\s*", " ", plain(text)).replace("|", "\\|")


def slug(name: str) -> str:
    return name.lower()


def hooks_page() -> str:
    hooks = [(name, value) for name, value in vars(hookspecs).items() if hasattr(value, f"{hookspecs.PROJECT}_spec")]
    lines = [NOTE, "# Hooks", "", HOOKS_INTRO, "", "| hook | on failure |", "|---|---|"]
    lines += [f"| [`{name}`](#{name}) | {_told(value)[1]} |" for name, value in hooks]
    lines += ["", "## Options of an implementation", "", HOOKIMPL_OPTIONS, ""]
    values = _values(hook for _, hook in hooks)
    for name, hook in hooks:
        about, failure = _told(hook)
        lines += [f"## `{name}`", "", f"```python\n{name}{_signature(hook)}\n```", "", about, ""]
        for argument, parameter in inspect.signature(hook).parameters.items():
            lines.append(f"- `{argument}`: {_linked(str(parameter.annotation), values)}")
        answer = _answer(hook)
        lines += [f"- answers {_linked(answer, values)}" if answer != "None" else "- answers nothing"]
        lines += [f"- on failure: {failure}"]
        lines += [*_absences(name), ""]
    lines += ["# Values", "", "What hooks are given and may answer. All but `ToolRegistry` are frozen structs.", ""]
    for value in values.values():
        lines += _described(value)
    lines += ["# Events", "", "What `on_event` is given, and what a front end reads. Every event has `session_id`,"]
    lines += ["`turn_id`, `seq` (rising within a session) and `at` (seconds since the epoch); beyond these:", ""]
    for event in get_args(events.AnyEvent):
        lines += _described(event)
    return "\n".join(lines)


def _absences(hook: str) -> list[str]:
    """Where it does not fire, and why; the hook matrix checks it."""
    known = yaml.safe_load((HERE / "hook_surfaces.yaml").read_text(encoding="utf-8"))
    absent = known["not_on"].get(hook, {})
    return [f"- not on {known['surfaces'][surface]}: {why}" for surface, why in absent.items()]


def _told(hook: Any) -> tuple[str, str]:
    """A hook's docstring, apart from what it says of failures; and that."""
    text = plain(hook.__doc__ or "")
    found = FAILURE.search(text)
    assert found, f"{hook.__name__} does not say what happens on failure"
    return text[: found.start()].rstrip(), found["what"].replace("**", "")


def _answer(hook: Any) -> str:
    return str(inspect.signature(hook).return_annotation).removeprefix("MaybeAwaitable[").removesuffix("]")


def _signature(hook: Any) -> str:
    parameters = inspect.signature(hook).parameters.items()
    return f"({', '.join(f'{name}: {item.annotation}' for name, item in parameters)}) -> {_answer(hook)}"


def _linked(annotation: str, values: dict[str, type]) -> str:
    links = [f"[`{word}`](#{slug(word)})" for word in re.findall(r"\w+", annotation) if word in values]
    others = [word for word in re.findall(r"\w+", annotation) if word not in values and word != "Iterable"]
    text = " or ".join([*links, *(f"`{word}`" for word in others)])
    return f"any number of: {text}" if annotation.startswith("Iterable") else text


def _values(hooks: Iterable[Any]) -> dict[str, type]:
    """The types that the hooks' signatures name, and those of the same module that these are made of."""
    named: dict[str, type] = {}
    for hook in hooks:
        for word in re.findall(r"\w+", _signature(hook)):
            value = getattr(hookspecs, word, None)
            if inspect.isclass(value) and value.__module__.startswith("hermes.") and word != "Event":
                named[word] = value
    for value in list(named.values()):
        for _, annotation, _, _ in _fields(value):
            for word in re.findall(r"\w+", annotation):
                inner = getattr(sys.modules[value.__module__], word, None)
                if inspect.isclass(inner) and issubclass(inner, msgspec.Struct):
                    named.setdefault(word, inner)
    return named


def _described(value: type) -> list[str]:
    lines = [f"## `{value.__name__}`", "", plain(value.__doc__ or "") if _has_docstring(value) else "", ""]
    for name, annotation, default, about in _fields(value):
        extra = f", default `{default}`" if default else ""
        lines.append(f"- `{name}` (`{annotation}`{extra})" + (f": {about}" if about else ""))
    return [*lines, ""]


def _has_docstring(value: type) -> bool:
    return bool(value.__dict__.get("__doc__"))


def _fields(value: type) -> Iterator[tuple[str, str, str, str]]:
    """Name, type, default and the text below a field, from the class's source."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    assert isinstance(node, ast.ClassDef)
    for item, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            about = ""
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                about = line_of(str(following.value.value))
            default = ast.unparse(item.value) if item.value is not None else ""
            yield item.target.id, ast.unparse(item.annotation), default, about
        elif isinstance(item, ast.FunctionDef) and not item.name.startswith("_"):
            marks = {ast.unparse(mark) for mark in item.decorator_list}
            about = line_of(ast.get_docstring(item) or "")
            if "property" in marks and item.returns is not None:
                yield item.name, ast.unparse(item.returns), "", about
            elif "classmethod" not in marks:
                yield f"{item.name}({ast.unparse(item.args).removeprefix('self, ')})", "method", "", about


def cli_page(root: LazyGroup) -> str:
    lines = [NOTE, "# Command line", "", "## Exit codes", "", "| code | meaning |", "|---|---|"]
    for code, meaning in re.findall(r"(?m)^ +(\d+) +(.+)$", EXIT_CODES):
        outcomes = [f"`{name}`" for name, value in EXIT_OF_OUTCOME.items() if str(value) == code]
        lines.append(f"| {code} | {meaning}" + (f" (outcome {', '.join(outcomes)}) |" if outcomes else " |"))
    lines += ["", "Standard output has the answer and nothing else, and stays empty when a run fails. All else is on"]
    lines += ["standard error.", ""]
    return "\n".join([*lines, *_command("hermes", root, click.Context(root, info_name="hermes"), root)])


def _command(name: str, command: click.Command, context: click.Context, root: LazyGroup) -> list[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"## `{name}`", "", f"```text\n{name} {usage}\n```", "", plain(command.help or ""), ""]
    shared = {param.opts[0] for param in root.params} if command.name == "chat" else set()
    options = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
    lines += [_option(param) for param in options if param.opts[0] not in shared]
    if shared:
        lines += ["", "And the options of `hermes`, but for `-z` and `--version`."]
    lines.append("")
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            inner = click.Context(found, parent=context, info_name=child)
            lines += _command(f"{name} {child}", found, inner, root)
    return lines


def _option(option: click.Option) -> str:
    choices = "|".join(option.type.choices) if isinstance(option.type, click.Choice) else ""
    metavar = option.metavar or choices
    default = f"default {option.default}" if option.show_default else ""
    about = "; ".join(text for text in ((option.help or "").rstrip("."), default) if text)
    return f"- `{', '.join(option.opts)}{f' {metavar}' if metavar else ''}`: {about}".rstrip(": ") + "."


def config_page(index: Index) -> str:
    schema = json_schema(index)
    lines = [NOTE, "# Settings", "", "Of `config.yaml` in the home, with the sections of the plugins that come with"]
    lines += ["`hermes-agent`. What comes first counts: an option of the command line, the environment, a trusted"]
    lines += ["project's `.hermes/config.yaml`, the home's `config.yaml`, the default. An unknown key is an error."]
    lines += ["See [configuration](../configuration.md) for how to.", ""]
    lines += _section("", schema["$defs"]["Settings"], schema["$defs"])
    lines += ["## `providers.<id>`", "", "An endpoint of your own, or changes to a known provider.", ""]
    lines += _struct_rows("providers.<id>.", ProviderSpec)
    lines += ["", "An entry of `models` is a name, or a mapping:", "", *_struct_rows("", ModelInfo), ""]
    lines += ["## Environment", "", "| variable | sets |", "|---|---|"]
    lines += [f"| `{variable}` | `{dotted}` |" for variable, dotted in ENVIRONMENT.items()]
    return "\n".join([*lines, "| `HERMES_HOME` | the home; `~/.hermes` when not set |", ""])


HEAD = ["| setting | type | default | meaning |", "|---|---|---|---|"]


def _struct_rows(prefix: str, struct: type) -> list[str]:
    rows = []
    for name, annotation, default, about in _fields(struct):
        kind = annotation.replace("|", "\\|")
        rows.append(f"| `{prefix}{name}` | {kind} | {f'`{default}`' if default else ''} | {about} |")
    return [*HEAD, *rows]


def _section(prefix: str, schema: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    rows, nested = [], []
    for key, value in schema.get("properties", {}).items():
        inner = _resolved(value, definitions)
        name = f"{prefix}{key}"
        if inner.get("properties"):
            title = [f"## `{name}`", ""] if _has_settings(inner, definitions) else []
            about = [inner["description"], ""] if title and inner.get("description") else []
            nested += [*title, *about, *_section(f"{name}.", inner, definitions)]
        else:
            default = f"`{json.dumps(value['default'])}`" if "default" in value else ""
            about_it = line_of(value.get("description", inner.get("description", "")))
            rows.append(f"| `{name}` | {_kind(inner)} | {default} | {about_it} |")
            rows += _item_rows(name, inner)
    return [*(HEAD if rows else []), *rows, *([""] if rows else []), *nested]


def _item_rows(name: str, schema: dict[str, Any]) -> list[str]:
    """What the mappings in a list are made of."""
    properties = schema.get("items", {}).get("properties", {}) if isinstance(schema.get("items"), dict) else {}
    return [
        f"| `{name}[].{key}` | {_kind(v)} | | {line_of(v.get('description', ''))} |" for key, v in properties.items()
    ]


def _has_settings(schema: dict[str, Any], definitions: dict[str, Any]) -> bool:
    return any(not _resolved(value, definitions).get("properties") for value in schema["properties"].values())


def _kind(schema: dict[str, Any]) -> str:
    """The type in words, with its bounds or choices."""
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    kind = schema.get("type") or " or ".join(item.get("type", "") for item in schema.get("anyOf", []))
    items = schema.get("items")
    if kind == "array" and isinstance(items, dict):
        return f"list of {_kind(items)}s"
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = f", {low} to {high}" if high is not None else f", at least {low}" if low is not None else ""
    return {"object": "mapping", "array": "list"}.get(str(kind), str(kind)) + bounds


def _resolved(value: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    for item in [value, *value.get("anyOf", [])]:
        if "$ref" in item:
            found: dict[str, Any] = definitions[item["$ref"].rpartition("/")[2]]
            return found
    return value


def tools_page(index: Index) -> str:
    lines = [
        NOTE,
        "# Tools",
        "",
        "What the plugins that come with `hermes-agent` give to the model. `risk` is what guards",
    ]
    lines += ["go by, `effects` what happens to a call that a crash cut off: see [security](../security.md).", ""]
    for plugin in sorted(index.plugins, key=lambda plugin: plugin.name):
        for name, entry in sorted(plugin.tools.items()):
            options = entry.options
            lines += [f"## `{name}`", "", entry.description, ""]
            lines += [f"Toolset `{options.toolset}`, risk `{options.risk}`, effects `{options.effects}`.", ""]
            parameters: Any = entry.parameters
            lines += ["| argument | type | default | meaning |", "|---|---|---|---|"]
            for key, schema in parameters.get("properties", {}).items():
                default = f"`{json.dumps(schema['default'])}`" if "default" in schema else "required"
                lines.append(f"| `{key}` | {_kind(schema)} | {default} | {line_of(schema.get('description', ''))} |")
            lines.append("")
    return "\n".join(lines)


PROVIDERS_INTRO = """What there is a plugin for: `pip install hermes-plugin-<name>`, where no other plugin is named.
How to choose, and how to add an endpoint of one's own, is in [providers](../providers.md).

They are in the order in which they are preferred where several keys are found. A key is looked for in its variables
from left to right. *By name*: a key that is found does not choose it. Of several wires, the model decides."""


def providers_page(folder: Path) -> str:
    """From the manifests in ``folder``, whether they are installed or not."""
    manifests = [read_manifest(file) for file in sorted(folder.glob("*/src/*/plugin.yaml"))]
    found = [(spec.priority, name, one.name, spec) for one in manifests for name, spec in one.providers.items()]
    lines = [NOTE, "# Providers", "", PROVIDERS_INTRO, ""]
    lines += ["| provider | other names | key | address | wire | default model |", "|---|---|---|---|---|---|"]
    for _, name, plugin, spec in sorted(found, key=lambda item: item[:2]):
        if spec.base_url or spec.base_url_env:
            cells = [*_named(name, plugin, spec), _key(name, spec), *_reached(spec)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _named(name: str, plugin: str, spec: ProviderSpec) -> tuple[str, str]:
    title = f"`{name}`<br>{spec.title}" + (f" (plugin `{plugin}`)" if plugin != name else "")
    return title, _code(spec.aliases)


def _key(name: str, spec: ProviderSpec) -> str:
    """Where it is looked for, and what else will do."""
    wanted = [spec.key_env, *(spec.options_env.get(option, []) for option in spec.key_options)]
    variables = [name for names in wanted for name in ([names] if isinstance(names, str) else names)]
    ways = [_code(variables)] if variables else []
    ways += ["optional"] if spec.key_optional else []
    ways += [f"`hermes auth login {name}`"] if spec.oauth else []
    return "; ".join([*ways, *([] if spec.automatic else ["by name"])])


def _reached(spec: ProviderSpec) -> tuple[str, str, str]:
    """Address, wires, default model."""
    address = "<br>".join(_code([part]) for part in (spec.base_url, spec.base_url_env) if part)
    wires = dict.fromkeys([spec.transport, *(rule.transport for rule in spec.rules if rule.transport)])
    models = [model if isinstance(model, str) else model.id for model in spec.models[:1]]
    return address, _code(wires), _code(models)


def pages() -> dict[str, str]:
    """The pages by name, made for an empty home."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HERMES_HOME"] = folder
        index = build_index(Home(Path(folder)), "docs")
        root = build([], _NoOutput())
        assert isinstance(root, LazyGroup)
        return {
            "hooks.md": hooks_page(),
            "cli.md": cli_page(root),
            "config.md": config_page(index),
            "tools.md": tools_page(index),
            "providers.md": providers_page(HERE.parent / "plugins" / "providers"),
        }


class _NoOutput(Output):
    """Nothing is printed while the pages are made."""

    def __init__(self) -> None:
        self.is_terminal = False


def main() -> int:
    stale = []
    for name, text in pages().items():
        file = HERE / "reference" / name
        text = "\n".join(line.rstrip() for line in text.splitlines())
        text = re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"
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
