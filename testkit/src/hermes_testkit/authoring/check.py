"""``hermes plugins check``: is this plugin fit to be given to others?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from hermes import HermesError, PluginError
from hermes.models.credentials import key_names
from hermes.plugins.manifest import GUARD_HOOKS, Manifest

from . import conformance
from .compare import compare, look_at
from .look import Answer
from .reach import ungranted
from .report import Finding, finding
from .subject import Subject, find_subject
from .weight import LIMIT_MS, weigh

DESCRIPTION_CHARS = 200


@click.command("check")
@click.argument("path", type=click.Path(path_type=Path), default=".")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--no-tests", is_flag=True, help="Do not run the plugin's tests.")
@click.pass_context
def check(ctx: click.Context, path: Path, as_json: bool, no_tests: bool) -> None:
    """Check a plugin before others get it: manifest, code, weight, docs, permissions, tests.

    PATH is a package's folder, a folder with a plugin.yaml, a single .py or a .yaml. A line a check: ✓ fine, ! look
    at it, ✗ mend it. Ends with 0; with 1 where something is to be mended; with 2 where PATH is no plugin.
    """
    subject = find_subject(path)
    findings = []
    for found in checks(subject, run_tests=not no_tests):
        findings.append(found)
        if not as_json:
            click.echo(found.line())
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(findings)).decode())
    ctx.exit(int(any(found.status == "failed" for found in findings)))


def checks(subject: Subject, *, run_tests: bool = True) -> Iterator[Finding]:
    """All checks, one after the other; where the manifest or the code cannot be read, the rest is left out."""
    try:
        tree, manifest = subject.tree(), subject.manifest()
    except PluginError as error:
        yield _broken("manifest", error)
        return
    undated = [] if "api" in tree or subject.kind == "file" else ["it does not say for which API it is"]
    yield finding("manifest", undated, f'"{manifest.name}", API {manifest.api}', "add: api: 1", otherwise="warning")
    yield _names(subject, manifest)
    try:
        found = look_at(subject, manifest)
    except PluginError as error:
        yield _broken("code", error)
        return
    yield _code(subject, manifest, found)
    yield _import(subject, found)
    yield from _docs(subject, manifest, found)
    yield _permissions(subject, manifest)
    yield conformance.suites(subject, manifest)
    if run_tests:
        yield conformance.tests(subject, manifest)


def _broken(check: str, error: HermesError) -> Finding:
    return Finding(check, "failed", str(error), error.hint)


def _names(subject: Subject, manifest: Manifest) -> Finding:
    """Distribution, entry point and module follow from the name."""
    name, module = manifest.name, f"hermes_plugin_{manifest.name.replace('-', '_')}"
    if subject.kind == "folder" and subject.root.name != name:
        text = f'the folder is called "{subject.root.name}", the plugin "{name}"'
        return Finding("names", "failed", text, "rename one of them")
    if subject.kind != "package":
        return Finding("names", "ok", f"{name} ({subject.manifest_file.name})")
    project = subject.project.get("project", {})
    points = project.get("entry-points", {}).get("hermes.plugins", {})
    problems = []
    if project.get("name") != f"hermes-plugin-{name}":
        problems.append(f'the distribution is "{project.get("name")}", not "hermes-plugin-{name}"')
    if points != {name: module}:
        problems.append(f"the entry point of hermes.plugins is {points}, not {{'{name}': '{module}'}}")
    if subject.module != module:
        problems.append(f"the package is {subject.module}, not {module}")
    fine = f"hermes-plugin-{name}, {module}, and the entry point agree"
    return finding("names", problems, fine, "the name in plugin.yaml decides; change the others in pyproject.toml")


def _code(subject: Subject, manifest: Manifest, found: Answer) -> Finding:
    differences = compare(subject, manifest, found)
    problems = [difference.text for difference in differences]
    problems += [f"{name}(): {found.problems[name]}" for name in ("register_tools",) if name in found.problems]
    path = subject.root if subject.kind in ("package", "folder") else subject.manifest_file
    fine = "the manifest says what the code does" if subject.module else "there is none"
    advice = f"hermes plugins manifest {path} --write" if any(each.key for each in differences) else "mend the code"
    return finding("code", problems, fine, advice)


def _import(subject: Subject, found: Answer) -> Finding:
    if not subject.module:
        return Finding("import", "skipped", "there is nothing to import")
    if subject.kind == "file" and not found.hooks:
        return Finding("import", "skipped", "a single file without hooks is imported when it is used")
    try:
        weight = weigh(subject)
    except PluginError as error:
        return _broken("import", error)
    problems = []
    if weight.foreign:
        problems.append(f"it imports {', '.join(weight.foreign)} at once")
    if weight.milliseconds > LIMIT_MS:
        slow = ", ".join(f"{name} {own:.0f} ms" for name, own in weight.heaviest)
        problems.append(f"it takes {weight.milliseconds:.0f} ms, more than {LIMIT_MS:.0f} ms (most: {slow})")
    fine = f"{weight.milliseconds:.1f} ms, {len(weight.modules)} modules beyond the kernel's"
    return finding("import", problems, fine, "import it in the function that needs it, or in a module of its own")


def _docs(subject: Subject, manifest: Manifest, found: Answer) -> Iterator[Finding]:
    if subject.kind == "package":
        yield _readme(subject, manifest)
    text = manifest.description
    problem = [] if 0 < len(text) <= DESCRIPTION_CHARS else [f"the description has {len(text)} characters"]
    yield finding("description", problem, text, f"say in one sentence what it does, in at most {DESCRIPTION_CHARS}")
    mute = [name for name, schema in manifest.config.properties.items() if not schema.get("description")]
    if manifest.config.properties:
        problem = [f"without a description: {', '.join(mute)}"] if mute else []
        yield finding("settings", problem, ", ".join(manifest.config.properties), "add description: to each")
    entries = {**manifest.tools, **{name: entry for tools in found.tools.values() for name, entry in tools.items()}}
    entries |= {entry.name: entry for entry in found.registered}
    if entries:
        mute = [name for name, entry in entries.items() if not entry.description]
        problem = [f"without a docstring: {', '.join(mute)}"] if mute else []
        yield finding("tools", problem, ", ".join(sorted(entries)), "the first paragraph is what the model reads")


INSTALL = re.compile(r"(?i)\binstall|comes with")
CONFIGURE = re.compile(r"(?i)\bconfigur|\bsetting|config\.yaml")
EXAMPLE = re.compile(r"(?m)^ *```")


def _readme(subject: Subject, manifest: Manifest) -> Finding:
    if not subject.readme.exists():
        return Finding("readme", "failed", "there is no README.md", "write how to install, configure and use it")
    text = subject.readme.read_text(encoding="utf-8")
    wanted = {"how to install it": INSTALL, "how to configure it": CONFIGURE, "an example": EXAMPLE}
    missing = [what for what, pattern in wanted.items() if not pattern.search(text)]
    guards = [hook for hook in manifest.hooks if hook in GUARD_HOOKS and hook not in text]
    missing += [f"what its guard {hook} judges (by that name)" for hook in guards]
    problem = [f"README.md does not say {', '.join(missing)}"] if missing else []
    return finding("readme", problem, "install, configure, example", "add it, in a sentence or two")


def _permissions(subject: Subject, manifest: Manifest) -> Finding:
    try:
        found = ungranted(subject.code, manifest.permissions)
    except (SyntaxError, UnicodeDecodeError) as error:
        return Finding("permissions", "failed", f"a file cannot be read: {error}", "mend it")
    if subject.kind == "package":
        keys = [name for spec in manifest.providers.values() for name in key_names(spec)]
        unasked = [f"{name} (key_env)" for name in keys if name not in manifest.permissions.secrets]
        found |= {"secrets": [*found.get("secrets", []), *unasked]} if unasked else {}
    problems = [f"{kind}: {', '.join(where[:3])}{', …' if where[3:] else ''}" for kind, where in found.items()]
    advice = "what others install runs in a plugin host: what it needs there belongs under permissions:"
    return finding("permissions", problems, "it reaches for nothing it does not ask for", advice, otherwise="warning")
