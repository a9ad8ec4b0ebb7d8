"""The file tools pass what every plugin with tools has to."""

from __future__ import annotations

from pathlib import Path

from hermes_testkit.tool_suite import Example, ToolSuite


class TestFilesTools(ToolSuite):
    plugin = "files"
    needs = ("terminal",)
    examples = (
        Example("read_file", {"path": "notes.txt"}, says="1|one"),
        Example("write_file", {"path": "new/file.txt", "content": "text\n"}, says="new/file.txt"),
        Example("patch", {"path": "notes.txt", "old": "one", "new": "uno"}, says="+uno"),
        Example("search_files", {"pattern": "uno"}, says="notes.txt"),
    )
    mistakes = (
        Example("read_file", {"path": "notez.txt"}, says="notes.txt"),
        Example("patch", {"path": "notes.txt", "old": "absent", "new": "x"}),
        Example("write_file", {"path": "notes.txt/below", "content": "x"}),
    )

    def prepare(self, workspace: Path) -> None:
        if not (workspace / "notes.txt").exists():
            (workspace / "notes.txt").write_text("one\ntwo\n")
