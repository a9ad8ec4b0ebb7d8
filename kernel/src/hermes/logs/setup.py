"""Log files: ``logs/agent.log`` with everything, ``logs/errors.log`` with what went wrong; both redacted."""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Callable
from pathlib import Path

Redact = Callable[[str], str]


class _RedactingFormatter(logging.Formatter):
    def __init__(self, redact: Redact) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(super().format(record))


def set_up_logs(folder: Path, *, level: str, max_size_mb: int, backup_count: int, redact: Redact) -> logging.Logger:
    """The logger of one home. Its files are opened with the first record; a full disk loses records, not runs."""
    logger = logging.Logger("hermes")
    logger.setLevel(level)
    for name, threshold in (("agent.log", logging.DEBUG), ("errors.log", logging.ERROR)):
        handler = _FolderFileHandler(folder / name, maxBytes=max_size_mb << 20, backupCount=backup_count)
        handler.setLevel(threshold)
        handler.setFormatter(_RedactingFormatter(redact))
        logger.addHandler(handler)
    return logger


class _FolderFileHandler(logging.handlers.RotatingFileHandler):
    """Makes its folder when it is first needed, so that a run that logs nothing writes nothing."""

    def __init__(self, path: Path, *, maxBytes: int, backupCount: int) -> None:  # noqa: N803 (logging's names)
        super().__init__(path, maxBytes=maxBytes, backupCount=backupCount, encoding="utf-8", delay=True)
        self._folder = path.parent

    def _open(self):  # type: ignore[no-untyped-def]
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return super()._open()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """A log that cannot be written is no reason to stop, and stderr is the user's."""
