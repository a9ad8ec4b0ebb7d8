"""What judging a command costs, against splitting it into words.

python plugins/tools/approvals/benchmarks/bench_approvals.py
"""

from __future__ import annotations

import shlex
import statistics
import time
from collections.abc import Callable

from hermes.contracts.tool import ToolCall, ToolOptions
from hermes_plugin_approvals.subject import subject_of

COMMANDS = {
    "ls": "ls -la src",
    "pipeline": "cat a.log | grep -n error | sort | uniq -c | head -20",
    "compound": "cd src && git status --short && git diff --stat HEAD~1 && pytest -q tests/unit",
    "loop": 'for f in a b c; do if [ -f "$f" ]; then wc -l "$f"; else echo "no $f"; fi; done',
    "wrapped": "sudo env A=b timeout 5 sh -c 'X=rm; $X -rf build'",
    "1 KB": " && ".join(f"grep -rn word{number} src/module{number}" for number in range(28)),
    "64 KB": "echo " + "word " * 13_000,
    "100 KB": "echo " + "word " * 19_990,
}


def best(function: Callable[[], object], rounds: int = 200) -> float:
    """Median seconds of a call, after one to warm up."""
    function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    start = time.perf_counter()
    judge("true")
    print(f"first command, with the parser's import: {(time.perf_counter() - start) * 1e3:.1f} ms")
    print(f"{'command':<10} {'judged':>10} {'shlex.split':>12} {'ratio':>7}")
    for name, command in COMMANDS.items():
        rounds = 20 if len(command) > 10_000 else 200
        judged = best(lambda command=command: judge(command), rounds)  # type: ignore[misc]
        split = best(lambda command=command: shlex.split(command), rounds)  # type: ignore[misc]
        print(f"{name:<10} {judged * 1e6:>7.0f} us {split * 1e6:>9.0f} us {judged / split:>6.1f}x")


def judge(command: str) -> object:
    options = ToolOptions(risk="exec")
    return subject_of(
        ToolCall(id="1", name="terminal", arguments={"command": command}, options=options, workspace="/w"), ()
    )


if __name__ == "__main__":
    main()
