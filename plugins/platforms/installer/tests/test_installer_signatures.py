"""Signatures of minisign: those of the program itself, and those that somebody changed."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hermes.contracts.errors import ConfigError, PluginError
from hermes_plugin_installer.signatures import check_signature, read_key, verify_minisign

Make = Callable[..., Any]

KEY = "RWSJLRP6wGZKL7e3SbyGaoTr56bFNs9dCrGpJTpnM6wtt7/dSPgAsPWP"
MESSAGE = b"hello\n"
PREHASHED = """\
untrusted comment: signature from minisign secret key
RUSJLRP6wGZKL74vRISaUPT7aWzhi59WVVI7PFgv3zjZ5z7woJcTeASWAANsGjKQXtAlWR1AiFfeJHegdRBQ85rvfyTHQCCvXQo=
trusted comment: file f
GlF0KJBle5Y7w1xoad/6DAs6Ju0/GN3wquJ3CXC5IcLJ604HaM8wvpI5Hwjv+l7Np6b+lPgouwb6ujEqtuKjDA==
"""
LEGACY = """\
untrusted comment: signature from minisign secret key
RWSJLRP6wGZKL29Gna5R/B4hOwod3YwT6WhOmfQCcF1quMdKjaz0XOgPGZfBgkydiec9Fwp7Bdf1mIrzHoXkrB2nOokCHG4JtAM=
trusted comment: timestamp:1795278584	file:f
Rq3uKq43eoVrv9v7hSIb0paDrOK3QNg8FlYc4K8OhmZe79ZgcM99he60xUK+pBTH4j3qE1caxXdwiaY8L+zuBA==
"""
"""Made by minisign 0.11 with the key above, over the message above: two fixed vectors."""

needs_minisign = pytest.mark.skipif(shutil.which("minisign") is None, reason="minisign is not installed")


@pytest.fixture
def message(tmp_path: Path) -> Path:
    file = tmp_path / "f"
    file.write_bytes(MESSAGE)
    return file


@pytest.fixture
def make_key(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a pair of keys without a password; gives the secret one's path."""

    def make(name: str) -> Path:
        secret = tmp_path / f"{name}.key"
        command = ["minisign", "-G", "-W", "-f", "-p", secret.with_suffix(".pub"), "-s", secret]
        subprocess.run(command, check=True, capture_output=True)
        return secret

    return make


def sign(file: Path, key: Path, *options: str) -> str:
    subprocess.run(["minisign", "-S", *options, "-s", key, "-m", file], check=True, capture_output=True)
    return file.with_name(f"{file.name}.minisig").read_text()


@pytest.mark.parametrize("signature", [PREHASHED, LEGACY], ids=["prehashed", "legacy"])
def test_fixed_vectors_prove_their_key(message: Path, signature: str) -> None:
    key = read_key(KEY)
    assert verify_minisign(message, signature, [key]) == key
    assert verify_minisign(message, signature.replace("\n", "\r\n"), [key]) == key


def changed(signature: str) -> dict[str, str]:
    """Each line of a signature, changed in one place."""
    lines = signature.splitlines()

    def flipped(number: int, place: int) -> str:
        data = bytearray(base64.b64decode(lines[number]))
        data[place] ^= 1
        return "\n".join([*lines[:number], base64.b64encode(data).decode(), *lines[number + 1 :]])

    return {
        "signature": flipped(1, 20),
        "algorithm": flipped(1, 1),
        "comment": signature.replace("trusted comment: ", "trusted comment: x"),
        "global signature": flipped(3, 5),
        "no comment": "\n".join(lines[:2]),
        "no base64": "\n".join([lines[0], "!!", *lines[2:]]),
        "empty": "",
    }


@pytest.mark.parametrize("signature", [PREHASHED, LEGACY], ids=["prehashed", "legacy"])
@pytest.mark.parametrize("what", changed(PREHASHED))
def test_a_changed_signature_is_refused(message: Path, signature: str, what: str) -> None:
    with pytest.raises(PluginError, match="signature of f is wrong"):
        verify_minisign(message, changed(signature)[what], [read_key(KEY)])


@pytest.mark.parametrize("signature", [PREHASHED, LEGACY], ids=["prehashed", "legacy"])
def test_a_changed_message_is_refused(message: Path, signature: str) -> None:
    message.write_bytes(MESSAGE + b" ")
    with pytest.raises(PluginError, match="signature of f is wrong"):
        verify_minisign(message, signature, [read_key(KEY)])


def test_a_key_with_the_same_number_is_not_the_same_key(message: Path) -> None:
    data = bytearray(base64.b64decode(KEY))
    data[-1] ^= 1
    with pytest.raises(PluginError, match="wrong"):
        verify_minisign(message, PREHASHED, [read_key(base64.b64encode(data).decode())])


@pytest.mark.parametrize("text", ["", "RW", "not base64!", base64.b64encode(b"x" * 42).decode()])
def test_what_is_no_key_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="no public key"):
        read_key(text)


def test_sigstore_is_said_to_be_unverified_without_its_package(message: Path) -> None:
    try:
        import sigstore  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        signed = check_signature(message, {".sigstore.json": b"{}"}, [], "")
        assert signed.by == ""
        assert "not verified" in signed.note
    else:
        with pytest.raises(PluginError, match="wrong"):
            check_signature(message, {".sigstore.json": b"{}"}, [], "")


@needs_minisign
@pytest.mark.parametrize("options", [[], ["-l"], ["-t", "a comment of ours — ü"], ["-l", "-t", ""]])
def test_what_the_program_signs_is_proved_and_the_other_way_round(
    tmp_path: Path, make_key: Make, options: list[str]
) -> None:
    key, other = make_key("ours"), make_key("other")
    public, theirs = (read_key(one.with_suffix(".pub").read_text()) for one in (key, other))
    for size in (0, 1, 70_000):
        file = tmp_path / f"file-{size}"
        file.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
        signature = sign(file, key, *options)
        assert verify_minisign(file, signature, [theirs, public]) == public
        assert verify_minisign(file, signature, [theirs]) is None
        subprocess.run(["minisign", "-V", "-m", file, "-P", public.text], check=True, capture_output=True)
        file.write_bytes(file.read_bytes() + b"!")
        with pytest.raises(PluginError, match="wrong"):
            verify_minisign(file, signature, [public])


@pytest.fixture
def archive(plugins: Any, make_project: Make, tmp_path: Path) -> Path:
    plugins.done("publish", str(make_project().folder), "--to", str(tmp_path / "out"))
    return tmp_path / "out" / "greet-1.0.tar.gz"


def put_key_beside(archive: Path, key: Path) -> str:
    text = key.with_suffix(".pub").read_text()
    archive.with_name(f"{archive.name}.pub").write_text(text)
    return read_key(text).text


@needs_minisign
def test_a_trusted_signature_is_shown_and_kept(plugins: Any, archive: Path, make_key: Make) -> None:
    key = make_key("ours")
    sign(archive, key)
    public = read_key(key.with_suffix(".pub").read_text()).text
    assert "by a key that is not known" in plugins("install", str(archive)).err
    plugins.hermes.configure({"installer": {"trusted_keys": [public], "require_signatures": True}})
    said = plugins.done("install", str(archive), "--yes").err
    assert f"signed by {public}, which you trust" in said
    assert plugins.lock.plugins["greet"].signed_by == public


@needs_minisign
def test_the_first_key_is_kept_and_another_later_is_refused(plugins: Any, archive: Path, make_key: Make) -> None:
    first, second = make_key("first"), make_key("second")
    sign(archive, first)
    public = put_key_beside(archive, first)
    assert "seen for the first time" in plugins.done("install", str(archive), "--yes").err
    assert plugins.lock.plugins["greet"].signed_by == public
    archive.with_name(f"{archive.name}.pub").unlink()
    assert "installed already" in plugins.done("install", str(archive), "--yes").err

    sign(archive, second)
    put_key_beside(archive, second)
    said = plugins.refused("install", str(archive), "--yes")
    assert f"It was signed by {public} when you installed it" in said
    assert "hermes plugins remove" in said
    archive.with_name(f"{archive.name}.minisig").unlink()
    assert "now it is not signed" in plugins.refused("install", str(archive), "--yes")


@needs_minisign
def test_a_wrong_signature_is_refused_whoever_is_trusted(plugins: Any, archive: Path, make_key: Make) -> None:
    key = make_key("ours")
    signature = sign(archive, key)
    put_key_beside(archive, key)
    archive.with_name(f"{archive.name}.minisig").write_text(changed(signature)["signature"])
    for settings in ({}, {"installer": {"trusted_keys": [read_key(key.with_suffix(".pub").read_text()).text]}}):
        plugins.hermes.configure(settings)
        assert "is wrong" in plugins.refused("install", str(archive), "--yes")


@needs_minisign
def test_where_signatures_are_required_only_trusted_ones_count(
    plugins: Any, archive: Path, make_project: Make, make_key: Make
) -> None:
    plugins.hermes.configure({"installer": {"require_signatures": True}})
    assert "It is not signed" in plugins.refused("install", str(archive), "--yes")
    assert "It is not signed" in plugins.refused("install", str(make_project().folder), "--yes")
    key = make_key("ours")
    sign(archive, key)
    public = put_key_beside(archive, key)
    assert f"add to installer.trusted_keys: {public}" in plugins.refused("install", str(archive), "--yes")


@needs_minisign
def test_what_is_published_with_a_key_can_be_installed_by_its_index(
    plugins: Any, make_project: Make, make_key: Make, server: Any
) -> None:
    key = make_key("ours")
    plugins.done("publish", str(make_project().folder), "--to", str(server.folder), "--sign", str(key))
    public = read_key(key.with_suffix(".pub").read_text()).text
    plugins.hermes.configure(
        {
            "installer": {
                "index": [f"{server.url}/index.json"],
                "trusted_keys": [public],
                "require_signatures": True,
            }
        }
    )
    plugins.done("install", "greet", "--yes")
    assert plugins.lock.plugins["greet"].signed_by == public
    file = server.folder / "index.json"
    index = json.loads(file.read_text())
    index["plugins"][0]["signature"] = changed(index["plugins"][0]["signature"])["signature"]
    file.write_text(json.dumps(index))
    plugins.done("remove", "greet")
    assert "is wrong" in plugins.refused("install", "greet", "--yes")
