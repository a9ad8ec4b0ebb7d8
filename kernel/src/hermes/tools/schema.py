"""A tool's schema and its argument checks, from the signature of its function."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from hermes.contracts.errors import PluginError, ToolError
from hermes.contracts.tool import OPTIONS_ATTRIBUTE, ToolEntry, ToolOptions

if TYPE_CHECKING:
    from hermes.plugins.plugin import ToolMark


def arguments_type(function: Callable[..., Any]) -> type[msgspec.Struct]:
    """A struct type with a field for each parameter but ``ctx``.

    Raises:
        PluginError: a parameter has no type, or one that JSON cannot carry.
    """
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise PluginError(f"the types of {function.__name__} cannot be resolved: {error}") from None
    fields: list[Any] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "ctx":
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise PluginError(f"{function.__name__}: a tool cannot have *{name}.")
        if name not in hints:
            raise PluginError(f"{function.__name__}: the parameter {name} has no type.")
        kind = _described(hints[name])
        fields.append((name, kind) if parameter.default is parameter.empty else (name, kind, parameter.default))
    return msgspec.defstruct(f"{function.__name__}_arguments", fields, kw_only=True, forbid_unknown_fields=True)


def _described(hint: Any) -> Any:
    """``Annotated[str, "text"]`` as msgspec understands it."""
    if get_origin(hint) is not Annotated:
        return hint
    kind, *extras = get_args(hint)
    metas = [msgspec.Meta(description=extra) if isinstance(extra, str) else extra for extra in extras]
    return Annotated[(kind, *metas)]


def entry_of(function: Callable[..., Any], *, plugin: str, target: str = "") -> ToolEntry:
    """The registry's entry of a function that is marked as a tool."""
    name, options = getattr(function, OPTIONS_ATTRIBUTE, (function.__name__, ToolOptions()))
    (schema,), definitions = msgspec.json.schema_components([arguments_type(function)])
    parameters = _compact(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    if not options.toolset:
        options = msgspec.structs.replace(options, toolset=plugin)
    return ToolEntry(
        name=name,
        description=_first_paragraph(inspect.getdoc(function) or ""),
        parameters=parameters,
        plugin=plugin,
        target=target or f"{function.__module__}:{function.__name__}",
        options=options,
    )


def registered_entry(name: str, mark: ToolMark, plugin: str) -> ToolEntry:
    """The entry of a function that ``register_tools`` registered under a name and options of its own."""
    entry = entry_of(mark.function, plugin=plugin)
    options = mark.options
    if not options.toolset:
        options = msgspec.structs.replace(options, toolset=plugin)
    description = mark.description or entry.description
    return msgspec.structs.replace(entry, name=name, options=options, description=description)


def _first_paragraph(docstring: str) -> str:
    return re.sub(r"\s*\n\s*", " ", re.split(r"\n\s*\n", docstring.strip(), maxsplit=1)[0])


def _compact(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """Without titles and references: each byte is sent with every request."""
    if isinstance(schema, list):
        return [_compact(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _compact(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    compact = {}
    for key, value in schema.items():
        if key == "title" or (key == "required" and not value):
            continue
        if key == "properties":
            value = {name: _compact(inner, definitions) for name, inner in value.items()}
        elif key not in ("default", "enum", "required"):
            value = _compact(value, definitions)
        compact[key] = value
    return compact


def check_arguments(kind: type[msgspec.Struct], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the function takes them; ``"3"`` for a number is a number.

    Raises:
        ToolError: they do not fit; the sentence is for the model.
    """
    try:
        checked = msgspec.convert(dict(arguments), kind, strict=False)
    except msgspec.ValidationError as error:
        fields = ", ".join(kind.__struct_encode_fields__)
        raise ToolError(f"Wrong arguments: {str(error).replace(' - at `$.', ' in `')}. It takes: {fields}.") from None
    names = zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
    return {encoded: getattr(checked, name) for name, encoded in names}
