"""``hermes doctor``: is everything as it should be, and what to do where it is not."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal, NamedTuple

import click

from hermes.app import App
from hermes.contracts.errors import HermesError
from hermes.contracts.provider import ModelsQuery
from hermes.contracts.service import SecretQuery
from hermes.contracts.values import Done
from hermes.plugins.announcements import read_given_up
from hermes.plugins.index import Index
from hermes.plugins.sandbox import enforcement

from .plugins import told_of_names
from .settings_file import home_of_context

Level = Literal["ok", "warning", "problem"]


class Finding(NamedTuple):
    check: str
    level: Level
    text: str
    todo: str = ""


def doctor(index: Index) -> click.Command:
    @click.command("doctor", help="Check that everything works. Exit code 1 if something does not.")
    @click.option("--json", "as_json", is_flag=True, help="As JSON.")
    @click.option("--prompt", is_flag=True, help="Show what the prompt is made of, with tokens.")
    @click.option("--offline", is_flag=True, help="Do not try to reach the provider.")
    @click.pass_context
    def command(ctx: click.Context, as_json: bool, prompt: bool, offline: bool) -> int:
        home = home_of_context(ctx).path
        if prompt:
            click.echo(asyncio.run(_prompt(home, as_json)))
            return 0
        findings = asyncio.run(_examine(home, index, offline=offline))
        if as_json:
            click.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
        else:
            for finding in findings:
                click.echo(f"{finding.level:8} {finding.check}: {finding.text}")
                if finding.todo:
                    click.echo(f"{'':8} -> {finding.todo}")
        return int(any(finding.level == "problem" for finding in findings))

    return command


async def _examine(home: Path, index: Index, *, offline: bool) -> list[Finding]:
    findings = [_python(), _command(), _space(home)]
    try:
        app = App(home)
    except HermesError as error:
        return [*findings, Finding("settings", "problem", str(error), error.hint)]
    async with app:
        findings.append(Finding("home", "ok", str(app.home.path)))
        findings.append(Finding("settings", "ok", str(app.home.config_file)))
        findings += [finding async for finding in _plugins(app)]
        findings.append(await _store(app))
        findings += [finding async for finding in _secret_sources(app)]
        findings += [finding async for finding in _provider(app, offline=offline)]
        findings += [finding async for finding in _other_models(app)]
        findings.append(_secrets_file(app))
    return findings


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    sound = sys.version_info >= (3, 11)
    return Finding(
        "python", "ok" if sound else "problem", f"{version}, {sys.executable}", "" if sound else "Use 3.11+."
    )


def _command() -> Finding:
    """Whose ``hermes`` is it that a shell finds?"""
    ours = Path(sys.argv[0]).resolve()
    found = shutil.which("hermes")
    if found is None:
        return Finding("command", "warning", f"hermes is not on PATH; this is {ours}", f"Add {ours.parent} to PATH.")
    if Path(found).resolve() != ours:
        todo = f"Put {ours.parent} first on PATH, or remove the other."
        return Finding("command", "warning", f"on PATH is {found}; this is {ours}", todo)
    return Finding("command", "ok", found)


def _space(home: Path) -> Finding:
    place = home if home.exists() else home.parent
    free = shutil.disk_usage(place if place.exists() else "/").free >> 20
    if free < 100:
        return Finding("disk", "problem", f"{free} MB are free for {home}", "Make room: sessions cannot be stored.")
    return Finding("disk", "ok", f"{free} MB free")


async def _plugins(app: App) -> AsyncIterator[Finding]:
    try:
        await app.plugins.start()
    except HermesError as error:
        yield Finding("plugins", "problem", str(error), error.hint)
    sound = [name for name, plugin in app.plugins.plugins.items() if plugin.state in ("idle", "active")]
    yield Finding("plugins", "ok", f"{len(sound)} enabled: {', '.join(sorted(sound))}")
    for name, plugin in app.plugins.plugins.items():
        if plugin.state == "failed":
            todo = plugin.indexed.hint or f"Mend it, or: hermes plugins disable {name}"
            yield Finding("plugins", "problem", f"{name}: {plugin.problem}", todo)
    for name, why in read_given_up(app.home.run).items():
        yield Finding("plugins", "problem", f"{name}: {why}", f"Mend it, then: hermes plugins reload {name}")
    for text in told_of_names([plugin.indexed for plugin in app.plugins.plugins.values()]):
        yield Finding("plugins", "warning", text, "Disable one of them: hermes plugins disable NAME")
    for name, plugin in app.plugins.plugins.items():
        if plugin.state == "unmet":
            yield Finding("plugins", "warning", f"{name} is not used: {plugin.problem}")
    isolated = [name for name, plugin in app.plugins.plugins.items() if plugin.indexed.isolation == "isolated"]
    if isolated and (lack := enforcement()):
        yield Finding("sandbox", "warning", f"{lack} ({', '.join(isolated)})")
    elif isolated:
        yield Finding("sandbox", "ok", f"bubblewrap holds to their permissions: {', '.join(isolated)}")
    if not app.plugins.hooks.has_guard:
        yield Finding("guard", "warning", "no guard: only reading is allowed", "Enable one: hermes plugins list")


async def _store(app: App) -> Finding:
    try:
        report = await app.store.check(Done())
    except HermesError as error:
        return Finding("store", "problem", str(error), error.hint)
    if report.problems:
        return Finding("store", "problem", "; ".join(report.problems), f"Keep a copy of {report.path}, then see docs.")
    repaired = f" (repaired: {'; '.join(report.repaired)})" if report.repaired else ""
    return Finding("store", "ok", f"{report.path}{repaired}")


async def _secret_sources(app: App) -> AsyncIterator[Finding]:
    for name in app.plugins.names("secret_source"):
        try:
            async with asyncio.timeout(10):
                source = await app.plugins.provided("secret_source", name)
                await source.get(SecretQuery(names=("HERMES_DOCTOR",), scope=app.scope))
        except TimeoutError:
            yield Finding(
                "secrets", "warning", f"{name} did not answer within 10 s", "Disable it, or look at its setup."
            )
        except HermesError as error:
            yield Finding("secrets", "warning", f"{name}: {error}", error.hint)
        else:
            yield Finding("secrets", "ok", f"{name} answers")


async def _provider(app: App, *, offline: bool) -> AsyncIterator[Finding]:
    found = await app.router.keys_found(app.scope)
    keys = ", ".join(f"{name} ({source})" for name, source in found) or "none"
    yield Finding("keys", "ok" if found else "warning", keys)
    try:
        target = await app.router.target(app.scope)
        if target.failure is not None:
            raise target.failure
        provider = await app.router.provider(target)
    except HermesError as error:
        yield Finding("model", "problem", str(error), error.hint)
        return
    yield Finding("model", "ok", f"{target.provider}:{target.model} at {target.endpoint.base_url or 'no address'}")
    if offline or not provider.capabilities.model_list:
        return
    try:
        async with asyncio.timeout(10):
            known = await provider.models(ModelsQuery(endpoint=target.endpoint))
    except TimeoutError:
        yield Finding(
            "reach", "problem", f"{target.endpoint.base_url} did not answer within 10 s", "Check the network."
        )
    except HermesError as error:
        yield Finding("reach", "problem", str(error), error.hint)
    else:
        listed = any(model.id == target.model for model in known.models)
        text = f"{len(known.models)} models" + ("" if listed else f"; {target.model} is not among them")
        yield Finding("reach", "ok" if listed else "warning", text)


async def _other_models(app: App) -> AsyncIterator[Finding]:
    """Fallbacks and the models of auxiliary tasks, which are needed only some time."""
    for name in app.settings.fallback_providers:
        try:
            target = await app.router.fallback(name, app.scope)
            await app.router.provider(target)
        except HermesError as error:
            yield Finding("fallback", "warning", f"{name}: {error}", error.hint)
    for task, section in app.settings.auxiliary.items():
        try:
            await app.router.target(app.scope, provider=section.provider, model=section.named)
        except HermesError as error:
            yield Finding("auxiliary", "warning", f"{task}: {error}", error.hint)


def _secrets_file(app: App) -> Finding:
    file = app.home.env_file
    if not file.exists():
        return Finding("secrets", "ok", f"no {file}")
    mode = file.stat().st_mode & 0o777
    if mode & 0o077:
        return Finding("secrets", "problem", f"{file} can be read by others (mode {mode:o})", f"chmod 600 {file}")
    return Finding("secrets", "ok", f"{file} (mode {mode:o})")


async def _prompt(home: Path, as_json: bool) -> str:
    """What an empty chat would send, by its parts."""
    from hermes.agent.prompt import prompt_bytes

    async with App(home, workspace=os.getcwd(), in_memory=True) as app:
        conversation = await app.conversation(surface="cli")
        sizes = prompt_bytes(await conversation.prompt())
    if as_json:
        return json.dumps({"bytes": sizes, "tokens": sum(sizes.values()) // 4}, indent=2)
    lines = [f"{size // 4:6}  {name}" for name, size in sizes.items()]
    return "\n".join(["tokens  part (bytes / 4)", *lines, f"{sum(sizes.values()) // 4:6}  in all"])
