"""Whether a file of a known format parses."""

from __future__ import annotations

import json
import tomllib
import warnings


def trouble(path: str, data: bytes) -> str:
    """One sentence with the place of the first error; blank when it parses, or when we cannot tell."""
    kind = path.rsplit(".", 1)[-1].lower()
    check = {"json": _json, "yaml": _yaml, "yml": _yaml, "toml": _toml, "py": _python, "pyi": _python}.get(kind)
    if check is None:
        return ""
    try:
        return check(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return f"it is not UTF-8 at byte {error.start}"


def _json(text: str) -> str:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}"
    return ""


def _yaml(text: str) -> str:
    try:
        import yaml
    except ImportError:
        return ""
    loader = yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader
    try:
        for _ in yaml.parse(text, Loader=loader):
            pass
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        return f"not valid YAML: {place}{getattr(error, 'problem', None) or error}"
    return ""


def _toml(text: str) -> str:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return f"not valid TOML: {error}"
    return ""


def _python(text: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "<file>", "exec", dont_inherit=True, flags=0x400)  # ast.PyCF_ONLY_AST
    except SyntaxError as error:
        return f"not valid Python: line {error.lineno}, column {error.offset}: {error.msg}"
    except ValueError as error:
        return f"not valid Python: {error}"
    return ""
