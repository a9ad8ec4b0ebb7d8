"""Plugin indexes: searched, installed from, and never believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., Any]


@pytest.fixture
def published(plugins: Any, make_project: Make, server: Any) -> Any:
    """``greet`` 1.0 and 2.0 in the server's folder; the home knows its index."""
    for version in ("1.0", "2.0"):
        plugins.done("publish", str(make_project(version=version).folder), "--to", str(server.folder))
    plugins.hermes.configure({"installer": {"index": [f"{server.url}/index.json"]}})
    return server


def change(server: Any, **fields: object) -> None:
    """Of the newest entry."""
    file = server.folder / "index.json"
    index = json.loads(file.read_text())
    for entry in index["plugins"]:
        if entry["version"] == "2.0":
            entry.update(fields)
    file.write_text(json.dumps(index))


@pytest.mark.usefixtures("published")
def test_plugins_are_searched_by_name_description_and_what_they_provide(plugins: Any) -> None:
    for words in ([], ["greet"], ["GREETS"], ["greet-greet"], ["as", "greet"]):
        (found,) = json.loads(plugins.done("search", *words, "--json").out)
        assert (found["name"], found["version"]) == ("greet", "2.0")
    assert plugins.done("search", "greet").out.split() == ["greet", "2.0", "Greets", "as", "greet."]
    nothing = plugins.done("search", "weather")
    assert (nothing.out, "Nothing found" in nothing.err) == ("", True)


@pytest.mark.parametrize("form", ["http", "folder", "file", "address"])
def test_a_name_is_installed_from_an_index_with_its_pins(plugins: Any, published: Any, form: str) -> None:
    file = published.folder / "index.json"
    places = {
        "http": f"{published.url}/index.json",
        "folder": str(published.folder),
        "file": str(file),
        "address": f"file://{file}",
    }
    plugins.hermes.configure({"installer": {"index": [places[form]]}})
    plugins.done("install", "greet", "--yes")
    locked = plugins.lock.plugins["greet"]
    entry = json.loads(file.read_text())["plugins"][1]
    assert (locked.source, locked.kind, locked.version, locked.sha256) == ("greet", "archive", "2.0", entry["sha256"])
    assert "(installed)" in plugins.done("search").out
    plugins.done("update", "greet", "--to", "1.0", "--yes")
    assert plugins.lock.plugins["greet"].version == "1.0"
    plugins.done("update", "greet", "--yes")
    assert plugins.lock.plugins["greet"].version == "2.0"
    plugins.done("remove", "greet")
    plugins.done("install", "greet==1.0", "--yes")
    assert plugins.lock.plugins["greet"].version == "1.0"


LIES: list[tuple[dict[str, object], str]] = [
    ({"sha256": "0" * 64}, "SHA-256"),
    ({"permissions": {"network": ["example.org"]}}, "permissions"),
    ({"provides": {}}, "contents"),
    ({"version": "3.0"}, "version"),
    ({"api": 0}, "plugin API"),
    ({"commit": "0" * 40}, "commit"),
]


@pytest.mark.parametrize(("fields", "told"), LIES)
def test_an_index_that_lies_is_found_out(plugins: Any, published: Any, fields: dict[str, object], told: str) -> None:
    change(published, **fields)
    said = plugins.refused("install", "greet", "--yes")
    assert f'The index is wrong about "greet": it says {told}' in said


def test_an_index_that_gives_another_plugin_is_found_out(plugins: Any, published: Any, make_project: Make) -> None:
    plugins.done("publish", str(make_project("other").folder), "--to", str(published.folder))
    change(published, source="./other-1.0.tar.gz")
    assert "it says name greet, and it is other" in plugins.refused("install", "greet", "--yes")


@pytest.mark.parametrize(
    "source", ["/etc", "./../../nowhere.tar.gz", "~/x.zip", "file:///etc/x.zip", "git+file:///etc"]
)
def test_an_index_of_another_machine_names_no_path_of_this_one(plugins: Any, published: Any, source: str) -> None:
    change(published, source=source)
    ran = plugins("install", "greet", "--yes")
    assert ran.code in (1, 2)
    assert "is no source of a plugin" in ran.err or "There is no http://127.0.0.1" in ran.err
    assert not plugins.lock.plugins


def test_a_pinned_commit_is_the_one_that_is_fetched(
    plugins: Any, published: Any, make_git: Make, make_project: Make
) -> None:
    git = make_git("greet.git")
    make_project(folder=git.folder)
    first = git.commit("v1.0")
    make_project(folder=git.folder, version="9.0")
    git.commit()
    file = published.folder / "index.json"
    entry = {**json.loads(file.read_text())["plugins"][0], "sha256": "", "source": f"git+file://{git.folder}"}
    file.write_text(json.dumps({"plugins": [{**entry, "commit": first}]}))
    plugins.hermes.configure({"installer": {"index": [str(file)]}})
    plugins.done("install", "greet", "--yes")
    assert plugins.lock.plugins["greet"].commit == first


BROKEN = {
    "gone": None,
    "malformed": b"{[",
    "of another form": b'{"plugins": [{"name": 1}]}',
    "a list": b"[]",
    "of a newer format": b'{"format": 2, "plugins": []}',
    "huge": b" " * (9 << 20),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_index_is_told_and_the_others_are_searched(plugins: Any, published: Any, name: str) -> None:
    (published.folder / "broken.json").write_bytes(BROKEN[name] or b"")
    broken = f"{published.url}/{'nowhere' if BROKEN[name] is None else 'broken'}.json"
    plugins.hermes.configure({"installer": {"index": [broken, f"{published.url}/index.json"]}})
    ran = plugins.done("search", "greet")
    assert "greet" in ran.out
    assert broken in ran.err
    plugins.hermes.configure({"installer": {"index": [broken]}})
    assert plugins("search").code == 1
    assert broken in plugins.refused("install", "greet", "--yes"), "nobody else gets the name because an index is down"


def test_an_answer_is_kept_for_as_long_as_it_holds(plugins: Any, published: Any) -> None:
    for _ in range(2):
        plugins.done("search")
    change(published, description="Another.")
    assert "Another." in plugins.done("search").out
    assert [status for path, status in published.asked if path == "/index.json"] == [200, 304, 200]


def test_nothing_to_search_is_told(plugins: Any) -> None:
    assert "installer.index" in plugins.refused("search", code=2)
    plugins.hermes.configure({"installer": {"index": "not a list"}})
    assert "index" in plugins.refused("search", code=2)


def test_a_project_does_not_say_whom_to_trust(plugins: Any, published: Any) -> None:
    workspace = plugins.hermes.workspace
    (workspace / ".hermes").mkdir()
    (workspace / ".hermes" / "config.yaml").write_text(f"installer: {{index: ['{published.url}/index.json']}}\n")
    plugins.hermes.configure({"security": {"trusted_projects": [str(workspace)]}})
    assert "There is no plugin index" in plugins.refused("search", code=2)


def test_an_archive_is_fetched_over_http(plugins: Any, published: Any) -> None:
    url = f"{published.url}/greet-1.0.tar.gz"
    assert "without encryption" in plugins.done("install", url, "--yes").err
    assert plugins.lock.plugins["greet"].url == url
    assert "There is no http" in plugins.refused("install", f"{published.url}/nothing.zip", "--yes")
    assert "cannot be fetched" in plugins.refused("install", "http://127.0.0.1:9/x.zip", "--yes")


def test_a_plugin_is_published_the_same_way_each_time(plugins: Any, make_project: Make, tmp_path: Path) -> None:
    project = make_project(permissions={"network": ["example.org"]})
    for folder in ("one", "two"):
        plugins.done("publish", str(project.folder), "--to", str(tmp_path / folder))
        (project.folder / "README.md").touch()
    archives = [(tmp_path / folder / "greet-1.0.tar.gz").read_bytes() for folder in ("one", "two")]
    assert archives[0] == archives[1]
    (entry,) = json.loads((tmp_path / "one" / "index.json").read_text())["plugins"]
    assert entry["source"] == "./greet-1.0.tar.gz"
    assert entry["permissions"] == {"network": ["example.org"]}
    assert json.loads(plugins.done("publish", str(project.folder), "--print").out) == entry
    plugins.done("publish", str(project.folder), "--to", str(tmp_path / "one"))
    project.write(description="Changed.")
    assert "is published already" in plugins.refused("publish", str(project.folder), "--to", str(tmp_path / "one"))
    assert (tmp_path / "one" / "greet-1.0.tar.gz").read_bytes() == archives[0]
    plugins.done("install", str(tmp_path / "one" / "greet-1.0.tar.gz"), "--yes")


def test_what_others_need_has_to_be_there_to_publish(plugins: Any, make_project: Make, tmp_path: Path) -> None:
    project = make_project(description="")
    (project.folder / "README.md").unlink()
    file = project.folder / "pyproject.toml"
    file.write_text(
        file.read_text().replace('license = "MIT"\n', "").replace('version = "1.0"', 'dynamic = ["version"]')
    )
    said = plugins.refused("publish", str(project.folder), "--to", str(tmp_path / "out"))
    assert all(word in said for word in ("a version", "a description", "a README", "a license"))
    assert not (tmp_path / "out").exists()
    assert plugins("publish", str(project.folder)).code == 2


def test_a_single_file_is_published_alone(plugins: Any, tmp_path: Path) -> None:
    (tmp_path / "waving.py").write_text("# /// hermes\n# name: waving\n# version: '1'\n# description: Waves.\n# ///\n")
    (tmp_path / "secret.py").write_text("# mine\n")
    plugins.done("publish", str(tmp_path / "waving.py"), "--to", str(tmp_path / "out"))
    plugins.hermes.configure({"installer": {"index": [str(tmp_path / "out")]}})
    plugins.done("install", "waving", "--yes")
    assert not list(plugins.home.rglob("secret.py"))
