"""What is a secret goes, what is none stays as it is, and doing it twice changes nothing more."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import hermes
from hermes.logs.redact import REDACTED, Redactor, stub

LONG = "abcDEF123456ghiJKL7890"
HEX = "0123456789abcdef" * 4

SECRETS = [
    f"sk-{LONG}",
    f"sk-ant-api03-{LONG}_{LONG}",
    f"sk_live_{LONG}",
    f"rk_test_{LONG}",
    f"ghp_{LONG}{LONG}",
    f"gho_{LONG}{LONG}",
    f"github_pat_{LONG}{LONG}",
    f"glpat-{LONG}",
    f"xoxb-123456789012-{LONG}",
    f"xapp-1-{LONG}",
    f"AIza{LONG}{LONG}",
    f"ya29.{LONG}",
    "AKIAIOSFODNN7EXAMPLE",
    f"pplx-{LONG}",
    f"SG.{LONG}.{LONG}",
    f"hf_{LONG}",
    f"r8_{LONG}",
    f"npm_{LONG}{LONG}",
    f"pypi-{LONG}{LONG}",
    f"dop_v1_{HEX}",
    f"tvly-{LONG}",
    f"gsk_{LONG}",
    f"xai-{LONG}",
    f"123456789:AA{LONG}{LONG}",
    f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.{LONG}",
]

SHAPES = [
    ("Authorization: Bearer {}", "hunter2hunter2"),
    ("Authorization: Basic {}", "dXNlcjpwYXNzd29yZA=="),
    ("{{'Authorization': 'Bearer {}'}}", "opaquetoken12345"),
    ("curl -H 'authorization: token {}'", "opaquetoken12345"),
    ("x-api-key: {}", "opaque1234"),
    ('"x-goog-api-key": "{}"', "opaque1234"),
    ("Set-Cookie: {}; Path=/", "session=3f9a8b7c6d"),
    ("OPENAI_API_KEY={}", "opaque1234"),
    ("export GITHUB_TOKEN={}", "correct-horse"),
    ("DB_PASSWORD='{}'", "correct horse"),
    ('STRIPE_SECRET="{}"', "correct-horse"),
    ('MY_TOKEN = "{}"', "tok3n-tok3n"),
    ('{{"api_key": "{}"}}', "opaque1234"),
    ('{{"client_secret": "{}", "x": 1}}', "GOCSPX-opaque"),
    ("{{'password': '{}'}}", "correct-horse"),
    ("password: {}", "c0rrect-horse"),
    ("  aws_secret_access_key: {}", "wJalrXUtnFEMI/K7MDENG"),
    ("postgres://app:{}@db:5432/app", "correct-horse"),
    ("https://example.com/x?access_token={}&y=1", "opaque1234"),
    ("https://example.com/x?a=1&key={}", "opaque1234opaque1234"),
    ("https://s3/x?X-Amz-Signature={}", HEX),
    ("-----BEGIN RSA PRIVATE KEY-----{}-----END RSA PRIVATE KEY-----", "\nMIIEow\nIBAAKCAQ\n"),
]

CLEAN = [
    "The quick brown fox jumps over the lazy dog.",
    "commit 5252f8e3a1b2c3d4e5f60718293a4b5c6d7e8f90",
    "123e4567-e89b-12d3-a456-426614174000",
    "sha256:" + HEX,
    "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * 40,
    "def token(self) -> str:\n    return self._token",
    "password: str\ntoken: int | None = None\nsecret: SecretStr",
    "api_key = os.environ['OPENAI_API_KEY']",
    'OPENAI_API_KEY="$OPENAI_API_KEY"',
    "OPENAI_API_KEY=<your key>",
    "export TOKEN_LIMIT=4096 MAX_TOKENS=200000",
    '{"max_tokens": 1024, "next_page_token": "CAUQAA4321", "key": "value"}',
    "for key, value in items: keys.append(key)",
    "https://user@example.com/path?page=2&sort=asc#key",
    "risk-assessment-of-a-very-long-hyphenated-name-task-sk-abc",
    "task_live_configuration_of_the_system",
    "ssh://git@github.com:22/owner/repo.git",
    "[tool.ruff.lint.per-file-ignores]",
    "secret_patterns: [a, b]\nkey_env: [OPENAI_API_KEY]",
    '{"type": "object", "properties": {"password": {"type": "string"}}}',
    "Cookie: none",
    "GET /v1/models HTTP/1.1 200 in 12 ms, request req_011CQ",
    "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBa\n-----END CERTIFICATE-----",
]


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor([r"acme-[0-9]{3}", r"(?:zz|yy)q[a-z]{12}"], ["open sesame now", "short"])


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:12])
@pytest.mark.parametrize("around", ["{}", "the key is {}.", '"{}"', "a={},b", "({})", "\t{}\n"])
def test_a_vendors_token_leaves_a_stub(redactor: Redactor, secret: str, around: str) -> None:
    assert redactor.redact(around.format(secret)) == around.format(f"{secret[:3]}…{secret[-4:]}")


@pytest.mark.parametrize(("shape", "secret"), SHAPES)
def test_a_secret_in_a_telling_place_goes(redactor: Redactor, shape: str, secret: str) -> None:
    assert redactor.redact(shape.format(secret)) == shape.format(stub(secret))


@pytest.mark.parametrize("text", CLEAN)
def test_text_without_secrets_is_not_changed(redactor: Redactor, text: str) -> None:
    assert redactor.redact(text) == text


def test_a_stub_is_shown_only_of_long_secrets() -> None:
    assert stub("a" * 17) == REDACTED
    assert stub("abc" + "x" * 11 + "wxyz") == "abc…wxyz"
    assert stub("abc de " * 4) == REDACTED


def test_patterns_of_manifests_are_used(redactor: Redactor) -> None:
    assert redactor.redact("id acme-123 and zzqabcdefghijkl") == f"id {REDACTED} and {REDACTED}"


def test_known_values_go_wherever_they_stand(redactor: Redactor) -> None:
    assert redactor.redact("xopen sesame nowx short") == f"x{REDACTED}x short"


def test_of_overlapping_known_values_the_longest_goes() -> None:
    assert Redactor([], ["abcdefgh", "abcdefghijkl"]).redact("abcdefghijkl") == REDACTED


def test_a_wrong_pattern_is_named_and_the_others_hold() -> None:
    redactor = Redactor(["(", "x*", r"acme-[0-9]{3}"])
    assert redactor.redact("acme-123 x") == f"{REDACTED} x"
    assert redactor.wrong == ("(", "x*")


def test_the_kernels_own_source_is_not_changed(redactor: Redactor) -> None:
    sources = [path for path in Path(hermes.__file__).parent.rglob("*.py") if path.name != "redact.py"]
    assert len(sources) > 10
    assert [path.name for path in sources if redactor.redact(path.read_text()) != path.read_text()] == []


WORDS = st.sampled_from(
    [*SECRETS, *CLEAN, *(shape.format(secret) for shape, secret in SHAPES), *"=:'\"&?@/-_ \n,;", "KEY=", "…", REDACTED]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS | st.text(string.printable, max_size=12), max_size=8).map("".join))
@example("A_KEY=open sesame nowABC")
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    redactor = Redactor([r"acme-[0-9]{3}"], ["open sesame now", "A_KEY=AKIA"])
    once = redactor.redact(text)
    assert redactor.redact(once) == once


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_taken(text: str) -> None:
    assert isinstance(Redactor([], ["12345678"]).redact(text), str)
