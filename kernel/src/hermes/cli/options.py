"""The options of every command that talks to a model, and the step from them to an `App`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from hermes.config.load import Tree, merge
from hermes.plugins.index import Index
from hermes.plugins.manifest import OptionEntry

from .output import Output


def chat_options(from_plugins: Mapping[str, tuple[str, OptionEntry]]) -> list[click.Option]:
    """New ones with each call: click's parameters belong to one command."""
    options = [
        click.Option(["-m", "--model"], metavar="[PROVIDER:]MODEL", help="The model to use."),
        click.Option(["--provider"], metavar="NAME", help="The provider to use."),
        click.Option(["-t", "--toolsets"], metavar="NAMES", help="Toolsets, separated by commas."),
        click.Option(["--image"], metavar="FILE", multiple=True, type=click.Path(), help="An image to send along."),
        click.Option(["-r", "--resume"], metavar="ID", help="Go on with a session."),
        click.Option(["-c", "--continue", "continue_"], is_flag=True, help="Go on with the latest session."),
        click.Option(["--max-turns"], type=click.IntRange(min=1), metavar="N", help="The most model calls."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print events, a JSON object a line."),
        click.Option(["--usage-file"], metavar="FILE", type=click.Path(), help="Write tokens and cost there, as JSON."),
        click.Option(["--system-file"], metavar="FILE", type=click.Path(), help="Use this system text."),
        click.Option(["--ignore-user-config"], is_flag=True, help="Do without config.yaml."),
        click.Option(["-p", "--profile"], metavar="NAME", help="Use the home of this profile."),
    ]
    for name, (plugin, entry) in from_plugins.items():
        flag = not entry.value
        options.append(
            click.Option(
                [f"--{name}", f"plugin__{plugin}__{name.replace('-', '_')}"],
                is_flag=flag,
                metavar=None if flag else entry.metavar or name.upper(),
                help=entry.help,
            )
        )
    return options


def kernel_options() -> set[str]:
    """The names that plugins' options cannot have, without hyphens before them."""
    found = {name for option in chat_options({}) for name in (*option.opts, *option.secondary_opts)}
    return {name.lstrip("-") for name in found} | {"help", "version", "oneshot"}


class ChatRequest(NamedTuple):
    """What the options of a chat command say."""

    prompt: str | None
    final_only: bool = False
    quiet: bool = False
    model: str | None = None
    provider: str | None = None
    toolsets: str | None = None
    image: tuple[str, ...] = ()
    resume: str | None = None
    continue_: bool = False
    max_turns: int | None = None
    as_json: bool = False
    usage_file: str | None = None
    system_file: str | None = None
    ignore_user_config: bool = False
    profile: str | None = None
    overrides: Tree = {}
    plugin_index: Index | None = None
    """As the command line has read it."""


def run_one_shot(ctx: click.Context, index: Index, *, prompt: str | None, **options: Any) -> int:
    """Answers the prompt that was given, or piped in; without one, chats."""
    request = ChatRequest(prompt=prompt, overrides=_overrides(index, options), plugin_index=index, **options)
    if request.provider and not request.model and ":" in request.provider:
        raise click.UsageError("--provider takes a provider's name; a model goes to -m.", ctx)
    if request.resume and request.continue_:
        raise click.UsageError("Use --resume or --continue, not both.", ctx)
    if request.prompt == "-" or (request.prompt is None and not _is_terminal(0)):
        request = request._replace(prompt=sys.stdin.read())
    if request.prompt is not None and not request.prompt.strip():
        raise click.UsageError("The prompt is empty.", ctx)
    out: Output = ctx.find_object(Output) or Output()
    if request.prompt is None:
        from .interactive import chat_interactively

        return chat_interactively(request, out)
    from .oneshot import answer_once

    return answer_once(request, out)


def _overrides(index: Index, options: dict[str, Any]) -> Tree:
    """The settings that plugins' options stand for; takes those options out."""
    overrides: Tree = {}
    manifests = {plugin.name: plugin.manifest for plugin in index.plugins}
    for key in [key for key in options if key.startswith("plugin__")]:
        value = options.pop(key)
        _, plugin, option = key.split("__", 2)
        if value in (None, False):
            continue
        manifest = manifests[plugin]
        entry = next(found for name, found in manifest.options.items() if name.replace("-", "_") == option)
        section: Tree = dict(entry.set) if not entry.value else {entry.value: str(value)}
        at_top = manifest.config.section
        overrides = merge(overrides, {at_top: section} if at_top else {"plugins": {"entries": {plugin: section}}})
    return overrides


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False
