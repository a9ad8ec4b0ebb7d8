"""Takes secrets out of text: logs, transcripts that are shown, tool output, errors.

Known values go first, then shapes: those that manifests declare and the general ones below. What is long enough
leaves a stub that a person can recognise (``sk-…9f2c``), all else leaves ``[redacted]``. Redacting twice changes
nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_PASSES = 8
"""What stands beside a secret may look like one when that is gone; so it is looked at until nothing changes."""

REDACTED = "[redacted]"
STUB_FROM = 18
"""Characters a secret needs before a stub of it is shown."""
MIN_VALUE = 8
"""Shorter known values are too likely to be ordinary words."""


def _after(separator: str, names: str, *, before: str = "") -> str:
    """``separator`` with one of ``names`` before it. To look for the separator first is what makes this fast."""
    behind = "|".join(f"(?<={re.escape(name + before)}{separator})" for name in names.split())
    return f"{separator}(?:{behind})"


_ENV_NAMES = "_KEY _APIKEY _TOKEN _SECRET _PASSWORD _PASSWD _PASS _PASSPHRASE _CREDENTIAL _CREDENTIALS _PAT _DSN"
_FIELD_NAMES = (
    "api_key api-key apikey access_key access-key accesskey access_key_id accesskeyid secret_key secret-key secretkey "
    "private_key private-key privatekey secret token password passwd passphrase"
)
_QUOTE = "[\"']"
_HEADERS = "api-key -token -secret -auth cookie subscription-key"
_QUERY_SURE = (
    r"(?:access_token|refresh_token|id_token|auth_token|api[_\-]?key|secret|client_secret|password|passwd|"
    r"X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token|X-Goog-Signature)"
)
_QUERY_LIKELY = r"(?:token|key|code|sig|signature|auth)"
_NOT_PAGES = "".join(f"(?<!page{mark}token{end})" for mark in ("", "_", "-") for end in (":", '":', "':", '"', "'"))
_ASSIGNED = r"(?:\"(?P<s>[^\"\n]{6,})\"|'(?P<s2>[^'\n]{6,})'|(?P<s3>[^\s\"'`;&|,)}]{6,}))"
_WITH_DIGIT = (
    r"(?:\"(?P<s>(?=[^\"\n]*\d)[^\"\s]{8,})\"|'(?P<s2>(?=[^'\n]*\d)[^'\s]{8,})'|"
    r"(?P<s3>(?=\S*\d)[^\s\"'#,{}\[\]()|>&*!;`]{8,}))"
)
_FIELD_WORDS = ("key", "token", "secret", "pass")

# Each with words in lower case of which any match contains one: text without them is not searched. The group that
# matched is the secret; without groups all of it is.
_SHAPES: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("private key",),
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?P<s>[\s\S]+?)(?:-----END [A-Z0-9 ]*PRIVATE KEY|\Z)",
    ),
    (("eyj",), r"(?<![\w\-+/.])eyJ[\w\-]{8,}\.eyJ[\w\-]{4,}\.[\w\-]{6,}"),
    ((":aa",), r"(?<![A-Za-z0-9_/+\-.])\d{8,10}:AA[A-Za-z0-9_\-]{32,}"),
    (
        ("auth",),
        r"(?i:authorization)[\"']?\s*[:=]\s*[\"']?(?:(?i:bearer|basic|token|digest|apikey|negotiate)\s+)?"
        r"(?P<s>[^\s\"',;]{8,})",
    ),
    (("bearer ",), r"(?<!\w)(?i:bearer)\s+(?P<s>[A-Za-z0-9._~+/\-]{16,}=*)"),
    (("key", "token", "secret", "auth", "cookie"), rf"(?i){_after(':', _HEADERS)}\s*(?P<s>[^\s\"',;]{{8,}})"),
    (("://",), r"(?<=://)[^\s/:@\"'<>]*:(?P<s>[^\s/@\"'<>]{3,})@"),
    (("=",), rf"(?i)[?&](?:{_QUERY_SURE}=(?P<s>[^&\s\"'#<>]{{6,}})|{_QUERY_LIKELY}=(?P<s2>[^&\s\"'#<>]{{16,}}))"),
    (("=",), rf"{_after('=', _ENV_NAMES)}{_ASSIGNED}"),
    (("=",), rf"{_after('=', _ENV_NAMES, before=' ')}\s*{_WITH_DIGIT}"),
    (
        _FIELD_WORDS,
        rf"(?i){_after(_QUOTE, _FIELD_NAMES)}{_NOT_PAGES}\s*:\s*"
        r"(?:\"(?P<s>[^\"\n]{6,})\"|'(?P<s2>[^'\n]{6,})')",
    ),
    (
        _FIELD_WORDS,
        rf"(?im){_after(':', f'{_FIELD_NAMES} {_ENV_NAMES}')}{_NOT_PAGES}[ \t]+{_WITH_DIGIT}[ \t]*$",
    ),
)

_VENDORS = (
    r"sk-[A-Za-z0-9_\-]{16,}",
    r"sk_(?:live|test)_[A-Za-z0-9]{10,}",
    r"rk_(?:live|test)_[A-Za-z0-9]{10,}",
    *(rf"gh{kind}_[A-Za-z0-9]{{20,}}" for kind in "pousr"),
    r"github_pat_[A-Za-z0-9_]{20,}",
    r"glpat-[A-Za-z0-9_\-]{16,}",
    r"xox[abeoprs]-[A-Za-z0-9\-]{10,}",
    r"xapp-\d-[A-Za-z0-9\-]{10,}",
    r"AIza[A-Za-z0-9_\-]{30,}",
    r"ya29\.[A-Za-z0-9_\-]{20,}",
    r"AKIA[A-Z0-9]{16}",
    r"ASIA[A-Z0-9]{16}",
    r"pplx-[A-Za-z0-9]{20,}",
    r"fal_[A-Za-z0-9_\-]{20,}",
    r"fc-[a-f0-9]{20,}",
    r"bb_live_[A-Za-z0-9_\-]{10,}",
    r"gAAAAA[A-Za-z0-9_\-]{40,}={0,2}",
    r"SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}",
    r"hf_[A-Za-z0-9]{20,}",
    r"r8_[A-Za-z0-9]{20,}",
    r"npm_[A-Za-z0-9]{30,}",
    r"pypi-[A-Za-z0-9_\-]{30,}",
    *(rf"do{kind}_v1_[a-f0-9]{{32,}}" for kind in "opr"),
    r"tvly-[A-Za-z0-9_\-]{16,}",
    r"exa_[A-Za-z0-9]{20,}",
    r"gsk_[A-Za-z0-9]{20,}",
    r"syt_[A-Za-z0-9_\-]{20,}",
    r"xai-[A-Za-z0-9]{20,}",
    r"ntn_[A-Za-z0-9]{20,}",
    r"fw_[A-Za-z0-9]{20,}",
    r"mem0_[A-Za-z0-9]{20,}",
    r"hsk-[A-Za-z0-9]{20,}",
    r"brv_[A-Za-z0-9]{20,}",
)
_PLACEHOLDER = re.compile(
    r"\[redacted\]|\$[A-Za-z_{(].*|<[^>]*>|\{.*|%.*|x{4,}|\*{3,}|\.{3}.*|your[-_ ].*|.{3}….{4}|"
    r"(?i:none|null|true|false|undefined|changeme|example.*|placeholder.*|string|boolean|integer|number|required|optional|"
    r"pass|passwd|password|secret|token)|"
    r"(?:os|self|process|config|settings|env|ctx|options|args|request|response|data|import)\b[\w.]*[.(\[].*|[A-Za-z_][\w.]*\(.*",
    re.DOTALL,
)
"""What stands where a secret would: a reference, an example, a stub."""

_OUTSIDE = r"[^A-Za-z0-9_/+\-.]"
_INSIDE = re.compile(r"[A-Za-z0-9_/+\-.]")
_GROUP = re.compile(r"\([^()]*\)")
_LONG = re.compile(r"\[(?:A-Z|a-z|A-F|a-f|0-9|_|\\-|-)+\]\{(?:[4-9]|\d\d)")
"""What may follow the lead of a token that is looked for by its lead's last mark."""
_LEAD = re.compile(r"(?:[A-Za-z0-9_\-]|\\-)+")


class Redactor:
    """``patterns``: shapes of secrets, as regular expressions; one that is wrong is left out and named in ``wrong``.

    ``values``: secrets that are known. Nothing is compiled before the first text.
    """

    def __init__(self, patterns: Iterable[str], values: Iterable[str] = ()) -> None:
        self._patterns = tuple(patterns)
        self._values = tuple(values)
        self._compiled = False
        self._tokens: list[tuple[str, str]] = []
        self._joined: list[tuple[str, str]] = []
        self._joint: re.Pattern[str] | None = None
        self._known: re.Pattern[str] | None = None
        self.wrong: tuple[str, ...] = ()

    def learn(self, value: str) -> None:
        """One more secret that is known."""
        if len(value) >= MIN_VALUE and value not in self._values:
            self._values = (*self._values, value)
            self._known = _known(self._values)

    def redact(self, text: str) -> str:
        """``text`` without secrets; text that has none comes back as it is."""
        if len(text) < 6:
            return text
        if not self._compiled:
            self._compile()
        for _ in range(MAX_PASSES):
            before = text
            text = self._pass(text)
            if text == before:
                break
        return text

    def _pass(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(_stub_whole, text)
        lower = text.lower()
        found: dict[str, bool] = {}
        for words, shape in _SHAPES:
            for word in words:
                if word not in found:
                    found[word] = word in lower
                if found[word]:
                    text = re.sub(shape, _stub_group, text)
                    break
        joined = self._joint is not None and self._joint.search(f"\n{text}") is not None
        for lead, token in (*self._tokens, *self._joined) if joined else self._tokens:
            if lead in text:
                text = re.sub(token, _stub_token, text)
        return text

    def _compile(self) -> None:
        self._known = _known(self._values)
        wrong: list[str] = []
        leads: list[str] = []
        joined: list[tuple[str, str]] = []
        tokens: list[tuple[str, str]] = []
        for pattern in dict.fromkeys((*_VENDORS, *self._patterns)):
            if pattern not in _VENDORS and not _is_sound(pattern):
                wrong.append(pattern)
                continue
            lead, rest = _lead(pattern)
            if lead.endswith(("-", "_")) and _LONG.match(rest):
                leads.append(lead)
                joined.append((lead, pattern))
            else:
                tokens.append((lead, pattern))
        self.wrong, self._joined, self._tokens = tuple(wrong), joined, tokens
        self._joint = _joint_of(leads)
        self._compiled = True


def _known(values: Iterable[str]) -> re.Pattern[str] | None:
    """Finds the values themselves, the longest first."""
    known = sorted({value for value in values if len(value) >= MIN_VALUE and not _is_stub(value)}, key=len)
    return re.compile("|".join(re.escape(value) for value in reversed(known))) if known else None


def _is_sound(pattern: str) -> bool:
    try:
        return re.compile(pattern).search("") is None
    except re.error:
        return False


def _joint_of(leads: list[str]) -> re.Pattern[str]:
    """Finds whether any token is there that starts with one of ``leads``, by the mark that they end with."""
    behind = "|".join(f"(?<={_OUTSIDE}{re.escape(lead)})" for lead in sorted(set(leads)))
    return re.compile(rf"[_\-](?=[A-Za-z0-9_\-]{{4}})(?:{behind})")


def _lead(pattern: str) -> tuple[str, str]:
    """The literal text that every match of ``pattern`` starts with, as far as that is plain to see, and the rest."""
    match = _LEAD.match(pattern)
    if match is None or "|" in _GROUP.sub("", pattern):
        return "", pattern
    lead, rest = match[0], pattern[match.end() :]
    if rest[:1] in ("?", "*", "{"):
        lead = lead.removesuffix("\\-") if lead.endswith("\\-") else lead[:-1]
    return lead.replace("\\-", "-"), rest


def stub(secret: str) -> str:
    """What stays of a secret: its first 3 and last 4 characters, if it is long enough to spare them."""
    if len(secret) < STUB_FROM or any(char.isspace() for char in secret):
        return REDACTED
    return f"{secret[:3]}…{secret[-4:]}"


def _is_stub(text: str) -> bool:
    return text == REDACTED or (len(text) == 8 and text[3] == "…")


def _stub_token(match: re.Match[str]) -> str:
    """A token starts where a word starts. To look here is much faster than to ask the expression to."""
    start = match.start()
    return match[0] if start and _INSIDE.match(match.string[start - 1]) else stub(match[0])


def _stub_whole(match: re.Match[str]) -> str:
    return stub(match[0])


def _stub_group(match: re.Match[str]) -> str:
    name = match.lastgroup
    if name is None:
        return stub(match[0])
    if _PLACEHOLDER.fullmatch(match[name]):
        return match[0]
    start, end = match.start(name) - match.start(), match.end(name) - match.start()
    return match[0][:start] + stub(match[name]) + match[0][end:]
