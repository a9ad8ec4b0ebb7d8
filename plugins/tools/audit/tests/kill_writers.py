"""Kills writers of a log at random moments, and looks at the log after each. A program: FOLDER ROUNDS SEED.

Prints how many records the writers knew to be written, how many there are, and how many lines were torn.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from hermes_plugin_audit.log import AuditLog
from hermes_plugin_audit.verify import verify


def write_until_killed(folder: Path, tell: int, seed: int) -> None:
    chance = random.Random(seed)
    log = AuditLog(folder, now=time.time, max_bytes=4_000_000)
    while True:
        text = "x" * chance.choice((10, 5_000, 200_000))
        log.append([{"kind": "call", "text": text}], wait=10)
        os.write(tell, b".")


def one_round(folder: Path, chance: random.Random) -> int:
    hear, tell = os.pipe()
    child = os.fork()
    if not child:
        os.close(hear)
        write_until_killed(folder, tell, chance.randrange(1_000_000))
    os.close(tell)
    known = len(os.read(hear, chance.randint(1, 3)))
    until = time.perf_counter() + chance.uniform(0, 0.002)
    while time.perf_counter() < until:
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while piece := os.read(hear, 1000):
        known += len(piece)
    os.close(hear)
    return known


def main() -> None:
    folder, rounds, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    known = torn = 0
    for number in range(rounds):
        known += one_round(folder, chance)
        report = verify(folder)
        torn += report.torn > 0
        if report.problems:
            raise SystemExit(f"after {number + 1} kills: {report.problems}")
    kinds = [
        json.loads(line)["kind"]
        for file in folder.glob("audit*.jsonl")
        for line in file.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
    ]
    told = kinds.count("torn") + (verify(folder).torn > 0)
    print(json.dumps({"known": known, "written": kinds.count("call"), "torn": torn, "told": told}))  # noqa: T201


if __name__ == "__main__":
    main()
