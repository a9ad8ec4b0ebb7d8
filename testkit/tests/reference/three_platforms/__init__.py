"""Three adapters of unlike shapes, for a server that takes and gives lines of JSON."""

from hermes import Provision, hookimpl


async def _make(kind, ctx):
    from . import chat, mail, sms

    adapters = {"chat": chat.Chat, "sms": sms.Sms, "mail": mail.Mail}
    return adapters[kind]((await ctx.config())["port"], ctx.clock)


async def _chat(ctx):
    return await _make("chat", ctx)


async def _sms(ctx):
    return await _make("sms", ctx)


async def _mail(ctx):
    return await _make("mail", ctx)


@hookimpl
def provide():
    return [
        Provision("platform", "chat", _chat),
        Provision("platform", "sms", _sms),
        Provision("platform", "mail", _mail),
    ]
