"""``hermes plugins new``."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import click

from hermes import ConfigError
from hermes.cli.root import KERNEL_COMMANDS
from hermes.cli.settings_file import home_of_context, index_of
from hermes.contracts.errors import nearest
from hermes.plugins.index import Index

from .kinds import KINDS, drop_in, package_files

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
NAME_CHARS = 32


@click.command("new", epilog="Kinds: " + "; ".join(f"{name}, {kind.about}" for name, kind in KINDS.items()) + ".")
@click.argument("kind")
@click.argument("name")
@click.option(
    "--into", type=click.Path(path_type=Path), default=".", help="The folder to make it in.", metavar="FOLDER"
)
@click.option("--drop-in", "as_drop_in", is_flag=True, help="One file in the home's plugins folder, no package.")
@click.pass_context
def new(ctx: click.Context, kind: str, name: str, into: Path, as_drop_in: bool) -> None:
    """Begin a plugin that works, with its tests: hermes-plugin-NAME in the current folder.

    Nothing that exists is overwritten.
    """
    check_kind(kind)
    check_name(kind, name, index_of(ctx))
    if as_drop_in:
        folder = home_of_context(ctx).plugins
        file, text = drop_in(kind, name)
        write_new(folder, {file: text})
        _tell(
            folder / file,
            [f"hermes plugins info {name}", f"edit {folder / file}", f"hermes plugins check {folder / file}"],
        )
        return
    workspace = in_workspace(into / name)
    folder = into / (name if workspace else f"hermes-plugin-{name}")
    if folder.exists():
        raise ConfigError(f"{folder} is there already.", hint="Choose another name, or another folder: --into FOLDER")
    write_new(folder, package_files(kind, name, workspace=workspace))
    install = "uv lock && make setup" if workspace else f"cd {folder} && pip install -e ."
    place = folder if workspace else "."
    _tell(folder, [install, f"python -m pytest {place}".removesuffix(" ."), f"hermes plugins check {place}"])


def _tell(made: Path, steps: list[str]) -> None:
    click.echo(f"Made {made}. Next:")
    for step in steps:
        click.echo(f"  {step}")


def check_kind(kind: str) -> None:
    """Raises ConfigError: there is no such kind; it says which are."""
    if kind in KINDS:
        return
    near = nearest(kind, KINDS)
    advice = f'Did you mean "{near}"?' if near else ""
    raise ConfigError(f'There is no kind of plugin "{kind}". {advice}'.rstrip(), hint=f"There are: {', '.join(KINDS)}.")


def check_name(kind: str, name: str, index: Index) -> None:
    """Raises ConfigError: it is no name, or another plugin's."""
    if not NAME.fullmatch(name) or len(name) > NAME_CHARS:
        better = (
            re.sub(r"[^a-z0-9]+", "-", name.lower().removeprefix("hermes-plugin-")).strip("-")[:NAME_CHARS].strip("-")
        )
        advice = f' Did you mean "{better}"?' if NAME.fullmatch(better) else ""
        raise ConfigError(
            f'"{name}" is no name for a plugin.{advice}',
            hint=f"Use lower-case letters, digits and single hyphens, a letter first, {NAME_CHARS} at most.",
        )
    for plugin in index.plugins:
        if plugin.name == name or plugin.module == f"hermes_plugin_{name.replace('-', '_')}":
            raise ConfigError(
                f'There is a plugin "{plugin.name}" already ({plugin.source}: {plugin.path}).',
                hint="Choose another name. See: hermes plugins list",
            )
    taken = KERNEL_COMMANDS.keys() | {command for plugin in index.plugins for command in plugin.manifest.commands}
    if kind == "command" and name in taken:
        raise ConfigError(f"There is a command hermes {name} already.", hint="Choose another name. See: hermes --help")


def in_workspace(folder: Path) -> bool:
    """Whether a folder would be a member of a uv workspace."""
    folder = folder.absolute()
    for root in folder.parents:
        file = root / "pyproject.toml"
        if file.exists():
            try:
                workspace = tomllib.loads(file.read_text(encoding="utf-8"))["tool"]["uv"]["workspace"]
            except (ValueError, KeyError):
                continue
            inner = folder.relative_to(root).as_posix()
            return any(fnmatch.fnmatch(inner, str(pattern)) for pattern in workspace.get("members", []))
    return False


def write_new(folder: Path, made: Mapping[str, str]) -> None:
    """Writes files that must not be there yet; none of them if one is."""
    for path in made:
        if (folder / path).exists():
            raise ConfigError(f"{folder / path} is there already.", hint="Choose another name, or remove it first.")
    for path, text in made.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
