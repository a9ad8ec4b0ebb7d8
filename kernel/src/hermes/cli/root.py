"""The tree of commands: the kernel's, and those that plugins declare. Nothing is imported to list them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from hermes.config.home import Home, find_home, host_environment
from hermes.contracts.errors import ConfigError, nearest
from hermes.plugins.claims import Claim, settle
from hermes.plugins.index import Index, load_index
from hermes.plugins.indexed import IndexedPlugin
from hermes.plugins.loader import load_target
from hermes.plugins.manifest import OptionEntry

from .context import PLUGIN
from .output import Output


class Lazy(NamedTuple):
    """A command that is imported when it is invoked. ``target``: ``module:attribute``."""

    target: str
    help: str
    plugin: IndexedPlugin | None = None


KERNEL_COMMANDS = {
    "chat": Lazy("hermes.cli.chat:chat", "Chat, or ask one question."),
    "completion": Lazy("hermes.cli.completion:completion", "Print the completion script for a shell."),
    "config": Lazy("hermes.cli.config:config", "Read and change the settings."),
    "doctor": Lazy("hermes.cli.doctor:doctor", "Check that everything works, and say what to do."),
    "logs": Lazy("hermes.cli.logs:logs", "Show the log files."),
    "plugins": Lazy("hermes.cli.plugins:plugins", "List, inspect, enable and disable plugins."),
}

EXIT_CODES = """\b
Exit codes:
  0    done
  1    the turn failed: the model could not be reached, or did not answer
  2    the command line or the settings are wrong
  3    denied by policy, or over budget
  4    authentication: the key is missing its rights, wrong or expired
  130  interrupted
"""


def load_command(lazy: Lazy, index: Index) -> click.Command:
    if lazy.plugin is not None and lazy.plugin.isolation == "isolated":
        from .isolated_command import isolated_command

        return isolated_command(lazy.target.partition(":")[2], lazy.plugin, lazy.target, lazy.help)
    if lazy.plugin is not None:
        command: Any = load_target(lazy.plugin, lazy.target)
    else:
        module, _, attribute = lazy.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
    if not isinstance(command, click.Command):
        command = command(index)
    assert isinstance(command, click.Command)
    return command


class LazyCommand(click.Command):
    """A plugin's command within somebody else's group: it is imported when it is invoked."""

    def __init__(self, name: str, lazy: Lazy, index: Index) -> None:
        super().__init__(name, short_help=lazy.help, add_help_option=False)
        self._lazy = lazy
        self._index = index

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if self._lazy.plugin is not None and parent is not None:
            parent.meta[PLUGIN] = self._lazy.plugin.name
        return load_command(self._lazy, self._index).make_context(info_name, args, parent, **extra)


class LazyGroup(click.Group):
    """Lists commands by what is known of them, and imports the one that is invoked.

    A name of two words, such as ``plugins install``, is a command that joins the group of the first.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy], index: Index, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = {name: entry for name, entry in lazy.items() if " " not in name}
        self._joining = {name: entry for name, entry in lazy.items() if " " in name}
        self.index = index

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        lazy = self._lazy.get(cmd_name)
        if lazy is None:
            return None
        if lazy.plugin is not None:
            ctx.meta[PLUGIN] = lazy.plugin.name
        command = load_command(lazy, self.index)
        if isinstance(command, click.Group):
            for name, entry in self._joining.items():
                group, _, member = name.partition(" ")
                if group == cmd_name and member not in command.commands:
                    command.add_command(LazyCommand(member, entry, self.index))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self._lazy and not name.startswith("-"):
            near = nearest(name, self._lazy)
            advice = f'Did you mean "{near}"?' if near else "See: hermes --help"
            raise click.UsageError(f'There is no command "{name}". {advice}', ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._lazy[name].help) for name in self.list_commands(ctx)])


def build(argv: list[str], out: Output) -> click.Group:
    """The root command for these arguments. The profile decides which plugins there are."""
    from .options import chat_options, run_one_shot

    index = _index(argv)
    owners, _ = settle(
        "command",
        [Claim(name, plugin, entry) for plugin in usable(index) for name, entry in plugin.manifest.commands.items()],
    )
    added = {name: Lazy(claim.value.target, claim.value.help, claim.plugin) for name, claim in owners.items()}
    lazy = {**added, **KERNEL_COMMANDS}

    @click.pass_context
    def root(ctx: click.Context, /, **options: Any) -> Any:
        if ctx.invoked_subcommand is None:
            return run_one_shot(ctx, index, prompt=options.pop("oneshot"), final_only=True, **options)
        return None

    return LazyGroup(
        "hermes",
        callback=root,
        lazy=lazy,
        index=index,
        invoke_without_command=True,
        epilog=EXIT_CODES,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        params=[
            click.Option(["-z", "--oneshot"], metavar="PROMPT", help="Answer one prompt; only the answer on stdout."),
            *chat_options(plugin_options(index)),
            click.Option(
                ["-V", "--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_version,
                help="Print the version and end.",
            ),
        ],
        help="An AI agent that lives where you do. Without arguments: an interactive chat.",
    )


def plugin_options(index: Index) -> dict[str, tuple[str, OptionEntry]]:
    """The options that plugins add to chat commands: option → plugin, entry."""
    claims = [Claim(name, plugin, entry) for plugin in usable(index) for name, entry in plugin.manifest.options.items()]
    from .options import kernel_options

    owners, taken = settle("option", claims)[0], kernel_options()
    return {name: (claim.plugin.name, claim.value) for name, claim in owners.items() if name not in taken}


def usable(index: Index) -> list[IndexedPlugin]:
    return [plugin for plugin in index.plugins if plugin.enabled and not plugin.problem]


def home_of(argv: list[str]) -> Home:
    return find_home(host_environment(), _profile(argv))


def _index(argv: list[str]) -> Index:
    """The index; where the settings cannot be read, that of the plugins alone, so that help and repair work."""
    home = home_of(argv)
    home.make()
    try:
        return load_index(home, os.getcwd(), ignore_config="--ignore-user-config" in argv)
    except ConfigError:
        return load_index(home, os.getcwd(), ignore_config=True)


def _profile(argv: list[str]) -> str:
    for position, word in enumerate(argv):
        if word in ("-p", "--profile") and position + 1 < len(argv):
            return argv[position + 1]
        if word.startswith("--profile="):
            return word.partition("=")[2]
        if word == "--":
            break
    return ""


def _version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from hermes import __version__

        click.echo(f"hermes {__version__}")
        ctx.exit(0)
