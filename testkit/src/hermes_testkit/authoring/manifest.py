"""``hermes plugins manifest``: a manifest against its code."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import click

from hermes.plugins.manifest import header_of

from .compare import Difference, compare, look_at
from .edit import set_header_values, set_values
from .subject import Subject, find_subject


@click.command("manifest")
@click.argument("path", type=click.Path(path_type=Path), default=".")
@click.option("--write", is_flag=True, help="Mend the manifest.")
@click.option(
    "--schemas", is_flag=True, help="Keep the tools' schemas in the manifest, so that no code is run for them."
)
@click.pass_context
def manifest(ctx: click.Context, path: Path, write: bool, schemas: bool) -> None:
    """Compare a plugin's manifest with its code.

    PATH is a package's folder, a folder with a plugin.yaml, or a single .py file. The plugin is imported, in a
    process of its own. Only the keys that differ are written; comments and order stay. Ends with 1 where something
    differs, or is left to be mended by hand.
    """
    subject = find_subject(path)
    declared = subject.manifest()
    differences = compare(subject, declared, look_at(subject, declared), schemas=schemas)
    for difference in differences:
        click.echo(difference.text, err=True)
    new = mended(subject, differences)
    if new != subject.text():
        click.echo("".join(changes(subject, new)), nl=False)
        if write:
            replace(subject.manifest_file, new)
    left = [difference for difference in differences if not (difference.key and write)]
    if not differences:
        click.echo(f"{subject.manifest_file.name} says what the code does.", err=True)
    elif write and not left:
        click.echo(f"{subject.manifest_file.name} is mended.", err=True)
    elif any(difference.key for difference in left):
        click.echo(f"Mend it: hermes plugins manifest {path} --write", err=True)
    ctx.exit(int(bool(left)))


def mended(subject: Subject, differences: list[Difference]) -> str:
    """The manifest's file as it should be; what only the code's author can mend is left as it is."""
    values = {difference.key: difference.value for difference in differences if difference.key}
    text = subject.text()
    if not values:
        return text
    if subject.kind != "file":
        return set_values(text, values)
    if header_of(text) is None:
        text = f"# /// hermes\n# name: {subject.tree()['name']}\n# ///\n{text}"
    return set_header_values(text, values)


def changes(subject: Subject, new: str) -> list[str]:
    name = subject.manifest_file.name
    old = subject.text().splitlines(keepends=True)
    return list(difflib.unified_diff(old, new.splitlines(keepends=True), name, f"{name} (from the code)", n=1))


def replace(file: Path, text: str) -> None:
    """Whole or not at all."""
    scratch = file.with_name(f".{file.name}.new")
    scratch.write_text(text, encoding="utf-8")
    scratch.chmod(file.stat().st_mode & 0o777)
    os.replace(scratch, file)
