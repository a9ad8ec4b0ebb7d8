"""The order of judgement: hard line, denials, mode, asks, allows, what the call does, and a model in mode ``smart``."""

from __future__ import annotations

from fnmatch import fnmatchcase

from hermes.contracts.errors import ConfigError, HermesError
from hermes.contracts.host import PluginContext
from hermes.contracts.tool import ToolCall
from hermes.contracts.verdict import Verdict

from .dangers import JOIN
from .memory import directories, keep_directories, remembered
from .paths import UNKNOWN
from .settings import Rule, Settings, denies, matches, parse_settings
from .smart import second_opinion
from .subject import Finding, Subject, reason_of, subject_of


async def judge(call: ToolCall, ctx: PluginContext) -> Verdict:
    """The verdict on a call. A configuration that is wrong denies: what it forbids is not known."""
    try:
        settings = parse_settings(await ctx.for_call(call).config())
    except ConfigError as error:
        return Verdict(decision="deny", reason=f"{error} {error.hint}".strip())
    where = await _directories(call, ctx)
    subject = subject_of(call, where)
    verdict = _by_policy(call, subject, settings)
    if verdict is None:
        verdict = await _by_answers(call, subject, where, settings, ctx)
    if subject.cwds and verdict.decision != "deny":
        moved = subject.cwds if verdict.decision == "allow" else (*where, *subject.cwds)
        await _keep(call, tuple(dict.fromkeys(moved)), ctx)
    return verdict


async def _directories(call: ToolCall, ctx: PluginContext) -> tuple[str, ...]:
    if "command" not in call.arguments or not call.session_id:
        return ()
    try:
        return await directories(call.session_id, ctx)
    except HermesError as error:
        ctx.log.warning("where the shell is cannot be read: %s", error)
        return (UNKNOWN,)


async def _keep(call: ToolCall, where: tuple[str, ...], ctx: PluginContext) -> None:
    if not call.session_id:
        return
    try:
        await keep_directories(call.session_id, where if len(where) <= 6 else (UNKNOWN,), ctx)
    except HermesError as error:
        ctx.log.warning("where the shell goes cannot be kept: %s", error)


def _by_policy(call: ToolCall, subject: Subject, settings: Settings) -> Verdict | None:
    """What needs no look at answers; None: nothing is said."""
    if subject.hard:
        return Verdict(decision="deny", reason=f"{subject.hard}, and no setting allows that")
    for pattern in settings.deny:
        if denies(pattern, call.name, subject.texts):
            return Verdict(decision="deny", reason=f'approvals.deny forbids it ("{pattern}")')
    if rule := _matching(call, subject.texts, settings, "deny"):
        return Verdict(decision="deny", reason=f"a rule of approvals.rules forbids it ({_shown(rule)})")
    if settings.mode == "off":
        return Verdict(decision="allow")
    if rule := _matching(call, subject.texts, settings, "ask"):
        return Verdict(
            decision="ask",
            reason=f"a rule of approvals.rules wants it asked for ({_shown(rule)})",
            allow_with="Remove that rule from approvals.rules in config.yaml, or run with --yolo.",
            timeout=settings.timeout,
        )
    if any(_allows_all(rule, call) for rule in settings.rules):
        return Verdict(decision="allow")
    return None


async def _by_answers(
    call: ToolCall, subject: Subject, where: tuple[str, ...], settings: Settings, ctx: PluginContext
) -> Verdict:
    left = [finding for finding in subject.findings if not _allowed(finding, call, settings)]
    known = {key for entry in settings.allow for key in entry.split(JOIN)}
    left = [finding for finding in left if finding.key not in known]
    if any(finding.key for finding in left):
        known = await remembered((finding.key for finding in left), call.session_id, ctx)
        left = [finding for finding in left if finding.key not in known]
    if not left:
        return Verdict(decision="allow")
    keys = sorted({finding.key for finding in left})
    asked = Verdict(
        decision="ask",
        reason=reason_of(tuple(left)),
        key="" if "" in keys else JOIN.join(keys),
        allow_with=_allow_with(call, left),
        timeout=settings.timeout,
    )
    return asked if settings.mode == "manual" else await second_opinion(asked, call, left, where, settings, ctx)


def _matching(call: ToolCall, texts: tuple[str, ...], settings: Settings, decision: str) -> Rule | None:
    for rule in settings.rules:
        if (
            rule.decision == decision
            and fnmatchcase(call.name, rule.tool)
            and (rule.match is None or matches(rule.match, texts))
        ):
            return rule
    return None


def _allows_all(rule: Rule, call: ToolCall) -> bool:
    return rule.decision == "allow" and rule.match is None and fnmatchcase(call.name, rule.tool)


def _allowed(finding: Finding, call: ToolCall, settings: Settings) -> bool:
    """By a rule with a glob: all that was read may be, what was not may not."""
    return finding.known and any(
        rule.decision == "allow"
        and rule.match is not None
        and fnmatchcase(call.name, rule.tool)
        and matches(rule.match, finding.texts)
        for rule in settings.rules
    )


def _shown(rule: Rule) -> str:
    return f"tool: {rule.tool}" + (f", match: '{rule.match}'" if rule.match is not None else "")


def _allow_with(call: ToolCall, findings: list[Finding]) -> str:
    finding = next((finding for finding in findings if finding.known and finding.texts), None)
    if finding is None:
        return "Run with --yolo to be asked nothing."
    match = _glob(finding)
    rule = f"tool: {call.name}, match: '{match}', decision: allow" if match else f"tool: {call.name}, decision: allow"
    return f"Allow it with approvals.rules in config.yaml ({{{rule}}}), or run with --yolo."


def _glob(finding: Finding) -> str:
    key = finding.key
    if key.startswith("write:"):
        return finding.texts[0]
    if key and finding.texts[0].startswith(key):
        return key if key == finding.texts[0] else f"{key}*"
    text = finding.texts[0]
    return text if len(text) <= 120 and "'" not in text and "\n" not in text else ""
