"""What may stand behind ``plugins install``, and what it is taken for."""

from __future__ import annotations

from pathlib import Path

import pytest

from hermes.contracts.errors import ConfigError
from hermes_plugin_installer.sources import locked_source, parse_source

HUB = "https://github.com"
SOURCES = {
    "greet": ("package", "greet", "", ""),
    "hermes-plugin-greet==1.2": ("package", "hermes-plugin-greet==1.2", "", ""),
    "greet >= 1, < 2": ("package", "greet>=1,<2", "", ""),
    "owner/repo": ("git", f"{HUB}/owner/repo.git", "", ""),
    "owner/repo.git": ("git", f"{HUB}/owner/repo.git", "", ""),
    "owner/repo/a/b@v1": ("git", f"{HUB}/owner/repo.git", "v1", "a/b"),
    "owner/repo@feature/x": ("git", f"{HUB}/owner/repo.git", "feature/x", ""),
    "https://github.com/owner/repo": ("git", f"{HUB}/owner/repo", "", ""),
    "https://h.org/r.git@v1#subdirectory=a": ("git", "https://h.org/r.git", "v1", "a"),
    "git+https://h.org/r@v1": ("git", "https://h.org/r", "v1", ""),
    "git+ssh://git@h.org/r.git": ("git", "ssh://git@h.org/r.git", "", ""),
    "ssh://git@h.org:22/r.git@f/x": ("git", "ssh://git@h.org:22/r.git", "f/x", ""),
    "git@h.org:o/r.git": ("git", "git@h.org:o/r.git", "", ""),
    "file:///a/r": ("git", "file:///a/r", "", ""),
    "https://h.org/x-1.0.tar.gz": ("archive", "https://h.org/x-1.0.tar.gz", "", ""),
    "https://h.org/x.zip?token=1": ("archive", "https://h.org/x.zip?token=1", "", ""),
    "file:///a/x.whl#subdirectory=b": ("archive", "file:///a/x.whl", "", "b"),
}


@pytest.mark.parametrize("text", SOURCES)
def test_a_source_is_taken_apart(text: str) -> None:
    source = parse_source(text, HUB)
    assert (source.kind, source.place, source.ref, source.subdirectory) == SOURCES[text]
    assert locked_source(source.kind, text, source.url, "").place == source.place


def test_paths_are_taken_for_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "repo").mkdir(parents=True)
    (tmp_path / "x.zip").touch()
    (tmp_path / "r.git").mkdir()
    assert parse_source("owner/repo", HUB)[:3:2] == ("folder", str(tmp_path / "owner" / "repo"))
    assert parse_source("./x.zip", HUB)[:3:2] == ("archive", str(tmp_path / "x.zip"))
    assert parse_source("r.git@v1", HUB)[:4:2] == ("git", str(tmp_path / "r.git"))
    assert parse_source("owner/repo", HUB, local=False).kind == "git"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "two words",
        "./nowhere",
        "x.zip",
        "owner/repo/../..",
        "owner/repo@../x",
        "https://h.org/r.git#subdirectory=../x",
        "https://h.org/r.git@--upload-pack=x",
        "https://user:secret@h.org/r.git",
        "--option",
    ],
)
def test_what_is_no_source_is_told(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as told:
        parse_source(text, HUB)
    assert told.value.hint
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("text", ["/etc", "./x", "~/x", "file:///etc/x.zip", "git+file:///etc", "../x.tar.gz", "x.zip"])
def test_a_path_of_this_machine_can_be_forbidden(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_source(text, HUB, local=False)


@pytest.mark.parametrize(
    "url", ["-rhttp://h.org/evil.txt", "--index-url=http://h.org", "x\n-r evil", "x @ file:///etc"]
)
def test_a_lock_cannot_slip_an_option_to_pip(url: str) -> None:
    with pytest.raises(ConfigError, match="no package"):
        locked_source("package", "x", url, "")


def test_a_lock_cannot_slip_an_option_to_git() -> None:
    with pytest.raises(ConfigError, match="no branch"):
        locked_source("git", "x", "https://h.org/r.git", "--upload-pack=evil")
