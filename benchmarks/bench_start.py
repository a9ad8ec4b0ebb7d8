"""What starting costs: ``--version``, ``--help``, a one shot, a tool round; against floors measured in the same run.

And what plugins cost that are installed and not used: beside Hermes, with pip, and into the home.

Run: ``.venv/bin/python benchmarks/bench_start.py [RUNS]``. CPU is that of the whole process and its children, user
and system. All figures are medians; the commands that are compared take turns, so that a busy machine hits all alike.
Peak memory is as the system counts it: never less than that of this benchmark, which started the process.
"""

from __future__ import annotations

import compileall
import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hermes.plugins.lock import LockedPlugin, PluginsLock, package_folder, write_lock
from hermes_testkit.command import Hermes
from hermes_testkit.model_server import Call, ModelServer, Reply, SeenRequest

RUNS = max(9, int(sys.argv[1]) if len(sys.argv) > 1 else 15)
REPLY = "The quick brown fox jumps over the lazy dog, again and again and again. " * 5
ROUNDS = 10
BARE_WALL = 170
"""Milliseconds that the bare script takes on the machine that the target for wall time was set on."""

BARE = """
import asyncio, json, sqlite3, sys
import httpx2, yaml

async def main():
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    async with httpx2.AsyncClient(OPTIONS) as client:
        async with client.stream("POST", sys.argv[1] + "/chat/completions", json=body) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    for choice in json.loads(line[6:])["choices"]:
                        sys.stdout.write(choice["delta"].get("content") or "")
    sys.stdout.write("\\n")

asyncio.run(main())
"""


UNUSED = 45
"""Plugins that nobody uses: many for a person, few for a program that is to stay quick."""
UNUSED_MS = 5.0

PLUGIN_YAML = """name: extra{number}
api: 1
description: Something for every {number}th day.
provides:
  tools: [hermes_plugin_extra{number}.tools]
  commands:
    extra{number}: {{help: "Do it on the command line.", target: "hermes_plugin_extra{number}.commands:run"}}
config:
  properties:
    unit: {{type: string, enum: [metric, imperial], default: metric, description: "The unit to tell."}}
"""
PLUGIN_TOOLS = """from hermes import tool

@tool(risk="read", effects="none")
def extra{number}(place: str, days: int = 1) -> str:
    \"\"\"Tells what it is like somewhere, for some days.\"\"\"
    return f"{{place}}, {{days}}"
"""
PLUGIN_COMMANDS = """import click

@click.command()
def run():
    click.echo("Done.")
"""
DIST_INFO = {
    "METADATA": "Metadata-Version: 2.1\nName: hermes-plugin-extra{number}\nVersion: 1.0\n",
    "entry_points.txt": "[hermes.plugins]\nextra{number} = hermes_plugin_extra{number}\n",
    "RECORD": "",
}


class Cost(NamedTuple):
    """CPU and wall time in milliseconds, peak memory in MB."""

    cpu: float
    wall: float
    rss: float


def measure(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> Cost:
    started = time.perf_counter()
    with subprocess.Popen(
        command, env=dict(environ), cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{process.stderr.read().decode()}")
    return Cost((used.ru_utime + used.ru_stime) * 1000, wall * 1000, used.ru_maxrss / 1024)


def rounds(commands: Mapping[str, Sequence[str]], environ: Mapping[str, str], folder: Path) -> dict[str, list[Cost]]:
    """What each cost in each round, after one that warms the caches."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for turn in range(RUNS + 1):
        for name, command in commands.items():
            cost = measure(command, environ, folder)
            if turn:
                costs[name].append(cost)
    return costs


def medians(costs: Mapping[str, Sequence[Cost]]) -> dict[str, Cost]:
    return {name: Cost(*map(statistics.median, zip(*found, strict=True))) for name, found in costs.items()}


def compare(commands: Mapping[str, Sequence[str]], environ: Mapping[str, str], folder: Path) -> dict[str, Cost]:
    """The median of each."""
    return medians(rounds(commands, environ, folder))


def verdict(name: str, value: float, limit: float, unit: str) -> None:
    print(f"  {'PASS' if value <= limit else 'MISS'}  {name:44} {value:8.2f} {unit:3} (at most {limit:.4g})")


@contextmanager
def server_process() -> Iterator[str]:
    """A model server in a process of its own; its URL."""
    command = [sys.executable, "-m", "hermes_testkit.model_server", "--reply", REPLY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def bare_round() -> float:
    """A command in a persistent bash, from writing it to its end; milliseconds."""
    with subprocess.Popen(["bash", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        times = []
        for _ in range(200):
            started = time.perf_counter()
            shell.stdin.write(b"true\nprintf .\n")
            shell.stdout.read(1)
            times.append(time.perf_counter() - started)
        shell.stdin.close()
    return statistics.median(times) * 1000


def rounds_of(request: SeenRequest) -> Reply | str:
    """Calls the terminal as often as the model's name says, then ends."""
    done = sum(message["role"] == "tool" for message in request.json["messages"])
    return Call("terminal", {"command": "true"}) if done < int(request.json["model"]) else "Done."


def bench_commands(hermes: Hermes, command: str) -> None:
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "hermes --version": [command, "--version"],
        "hermes --help": [command, "--help"],
    }
    costs = compare(commands, hermes.environ, hermes.workspace)
    floor = costs["python -c pass"]
    show(costs, floor)
    verdict("--version, CPU against python -c pass", costs["hermes --version"].cpu / floor.cpu, 2, "x")
    verdict("--help, CPU against python -c pass", costs["hermes --help"].cpu / floor.cpu, 8, "x")


def bench_one_shot(hermes: Hermes, command: str) -> None:
    """The floor is the script as anyone writes it; the second one leaves out what plain HTTP does not need."""
    with server_process() as url:
        hermes.use(url)
        commands = {
            "bare script": [sys.executable, "-c", BARE.replace("OPTIONS", ""), url],
            "bare script, no TLS context": [sys.executable, "-c", BARE.replace("OPTIONS", "verify=False"), url],
            "hermes -z": [command, "-z", "hi"],
        }
        costs = compare(commands, hermes.environ, hermes.workspace)
    floor, ours = costs["bare script"], costs["hermes -z"]
    show(costs, floor)
    verdict("one shot, CPU against the bare script", ours.cpu / floor.cpu, 1.5, "x")
    verdict("one shot, wall", ours.wall, 250 * max(1, floor.wall / BARE_WALL), "ms")
    verdict("one shot, memory", ours.rss, 50, "MB")


def bench_rounds(hermes: Hermes, command: str) -> None:
    with ModelServer(default=rounds_of) as server:
        hermes.use(server.url)
        one, many = "1 tool round", f"{1 + ROUNDS} tool rounds"
        arguments = [command, "--yolo", "-z", "go", "-m"]
        commands = {one: [*arguments, "fake:1"], many: [*arguments, f"fake:{1 + ROUNDS}"]}
        costs = compare(commands, hermes.environ, hermes.workspace)
    show(costs, costs[one])
    bare = bare_round()
    print(f"  the command itself, in a bare persistent bash: {bare:.2f} ms")
    verdict("each further round, wall", (costs[many].wall - costs[one].wall) / ROUNDS - bare, 8, "ms")
    print(f"  of it CPU of hermes and its shell: {(costs[many].cpu - costs[one].cpu) / ROUNDS:.2f} ms")


def write_package(site: Path, number: int) -> None:
    package = site / f"hermes_plugin_extra{number}"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "plugin.yaml").write_text(PLUGIN_YAML.format(number=number))
    (package / "tools.py").write_text(PLUGIN_TOOLS.format(number=number))
    (package / "commands.py").write_text(PLUGIN_COMMANDS)


def install_beside(site: Path) -> None:
    """As pip does it."""
    for number in range(UNUSED):
        write_package(site, number)
        info = site / f"hermes_plugin_extra{number}-1.0.dist-info"
        info.mkdir()
        for name, text in DIST_INFO.items():
            (info / name).write_text(text.format(number=number))


def install_into(home: Path) -> None:
    """As ``hermes plugins install`` does it."""
    locked = [
        LockedPlugin(
            name=f"extra{number}",
            source=f"hermes-plugin-extra{number}",
            kind="package",
            version="1.0",
            tree=f"{number:064x}"[::-1],
            module=f"hermes_plugin_extra{number}",
        )
        for number in range(UNUSED)
    ]
    for number, plugin in enumerate(locked):
        write_package(package_folder(home / "packages", plugin), number)
    write_lock(home / "plugins.lock", PluginsLock(plugins={plugin.name: plugin for plugin in locked}))


def check_unused(command: str, environ: Mapping[str, str], count: int) -> None:
    """The figures are worth nothing unless the plugins are found, sound and isolated, with their tools."""
    listed = subprocess.run([command, "plugins", "list", "--json"], env=environ, capture_output=True, check=True)
    found = [plugin for plugin in json.loads(listed.stdout) if plugin["name"].startswith("extra")]
    sound = [plugin for plugin in found if plugin["runs"] == "isolated" and plugin["provides"]["tools"]]
    if not len(found) == len(sound) == count:
        raise SystemExit(f"{len(sound)} of {len(found)} unused plugins are sound, not {count}")


def over(more: Sequence[Cost], floor: Sequence[Cost]) -> Cost:
    """The median of what it cost more in the same round: what disturbs one disturbs the other."""
    differences = [[one - other for one, other in zip(*pair, strict=True)] for pair in zip(more, floor, strict=True)]
    return Cost(*map(statistics.median, zip(*differences, strict=True)))


def bench_unused(hermes: Hermes, command: str) -> None:
    """Each in surroundings of its own, equal but for the plugins. The run that warms the caches builds the index."""
    folder = hermes.home.parent
    site, nothing, crowded = folder / "site", folder / "nothing", Hermes(folder / "crowded")
    nothing.mkdir()
    install_beside(site)
    with server_process() as url:
        for one in (hermes, crowded):
            one.use(url)
        install_into(crowded.home)
        places = {
            "none": (nothing, hermes.home),
            f"{UNUSED} beside Hermes": (site, hermes.home),
            f"{UNUSED} in the home": (nothing, crowded.home),
        }
        commands = {
            f"{what}, {name}": ["env", f"PYTHONPATH={path}", f"HERMES_HOME={home}", command, *arguments]
            for what, arguments in (("one shot", ["-z", "hi"]), ("--help", ["--help"]))
            for name, (path, home) in places.items()
        }
        for name, (path, home) in places.items():
            environ = {**hermes.environ, "PYTHONPATH": str(path), "HERMES_HOME": str(home)}
            check_unused(command, environ, 0 if name == "none" else UNUSED)
        found = rounds(commands, hermes.environ, hermes.workspace)
    costs = medians(found)
    for what, limit in (("one shot", UNUSED_MS), ("--help", None)):
        floor = costs[f"{what}, none"]
        show({name: cost for name, cost in costs.items() if name.startswith(what)}, floor)
        for name in list(places)[1:]:
            more = over(found[f"{what}, {name}"], found[f"{what}, none"])
            if limit is not None:
                verdict(f"{what}, {name}: CPU over none", more.cpu, limit, "ms")
            print(f"  {what}, {name}: over none {more.cpu:.1f} ms CPU, {more.wall:.1f} ms wall")


def show(costs: Mapping[str, Cost], floor: Cost) -> None:
    for name, cost in costs.items():
        print(
            f"  {name:30} {cost.cpu:8.1f} ms CPU {cost.cpu / floor.cpu:6.2f}x"
            f" {cost.wall:8.1f} ms wall {cost.rss:7.1f} MB"
        )


def compile_sources() -> None:
    """Installed for editing, our packages may lack the bytecode that a wheel's install makes."""
    groups = importlib.metadata.entry_points(group="hermes.plugins")
    for module in ("hermes", "hermes_testkit", *(entry.module for entry in groups)):
        found = importlib.util.find_spec(module)
        if found is not None and found.origin is not None:
            compileall.compile_dir(Path(found.origin).parent, quiet=2)


def main() -> None:
    compile_sources()
    command = str(Path(sys.executable).with_name("hermes"))
    print(f"medians of {RUNS} runs")
    for bench in (bench_commands, bench_one_shot, bench_rounds, bench_unused):
        with tempfile.TemporaryDirectory() as folder:
            bench(Hermes(Path(folder)), command)


if __name__ == "__main__":
    main()
