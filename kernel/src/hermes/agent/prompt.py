"""The head of a session's prompt: named blocks and tool schemas, frozen with its first request."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from pathlib import Path

from hermes.config.home import Home
from hermes.contracts.hookspecs import SessionInfo
from hermes.contracts.messages import FrozenPrompt, SystemBlock, ToolSpec
from hermes.contracts.tool import ToolEntry

PERSONA = (
    "You are Hermes, an agent that works for its user with real tools. Do what is asked, check that it worked, and "
    "say plainly what you did and what you could not do. Be brief."
)
ORDER = ("persona", "tools", "reasoning", "memory", "skills", "project")
CONTEXT_FILES = (".hermes.md", "HERMES.md", "AGENTS.md", "CLAUDE.md", ".cursorrules")
CONTEXT_CHARS = 20_000


def freeze(
    session: SessionInfo,
    *,
    home: Home,
    tools: Sequence[ToolEntry],
    extra: Sequence[SystemBlock],
    system: Sequence[SystemBlock] | None,
    now: float,
    project_context: bool,
) -> FrozenPrompt:
    """``extra``: the plugins' blocks. ``system``: given by the caller, in place of all blocks but these."""
    blocks = list(system) if system is not None else [_persona(home), _surroundings(session, now)]
    blocks += extra
    if system is None and project_context and (project := _project(session.workspace)):
        blocks.append(project)
    blocks = [block for block in blocks if block.text.strip()]
    if system is None:
        blocks.sort(key=_rank)
    specs = [ToolSpec(name=tool.name, description=tool.description, parameters=tool.parameters) for tool in tools]
    return FrozenPrompt(system=tuple(blocks), tools=tuple(specs))


def _rank(block: SystemBlock) -> int:
    """Blocks that nobody has a place for stand before the project's."""
    return ORDER.index(block.name) if block.name in ORDER else len(ORDER) - 2


def _persona(home: Home) -> SystemBlock:
    try:
        text = home.soul_file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        text = ""
    return SystemBlock(name="persona", text=text or PERSONA)


def _surroundings(session: SessionInfo, now: float) -> SystemBlock:
    day = time.strftime("%A, %Y-%m-%d", time.localtime(now))
    return SystemBlock(
        name="tools",
        text=f"Working directory: {session.workspace}\nSystem: {platform.system()}\nDate: {day}\n"
        "A call that is refused was not run; do not try to get around a refusal, say what it would need.",
    )


def _project(workspace: str) -> SystemBlock | None:
    """The first context file of the working directory, or of a folder above it up to the repository's root."""
    if not workspace:
        return None
    folder = Path(workspace)
    for place in (folder, *folder.parents):
        for name in CONTEXT_FILES:
            file = place / name
            try:
                text = file.read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            if len(text) > CONTEXT_CHARS:
                text = f"{text[:CONTEXT_CHARS]}\n[… {len(text) - CONTEXT_CHARS} characters left out: read {file}]"
            return SystemBlock(name="project", text=f"From {file}:\n\n{text}")
        if (place / ".git").exists():
            break
    return None


def prompt_bytes(prompt: FrozenPrompt) -> dict[str, int]:
    """Bytes of each block and of each tool's schema, as sent but for the wire's own syntax."""
    import msgspec

    sizes = {f"block {block.name}": len(block.text.encode()) for block in prompt.system}
    sizes.update({f"tool {tool.name}": len(msgspec.json.encode(tool)) for tool in prompt.tools})
    return sizes
