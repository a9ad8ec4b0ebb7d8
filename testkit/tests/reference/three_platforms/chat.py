"""A chat: edits, buttons, threads, files, voice; 64 UTF-16 units at a time."""

from hermes import ChatInfo, Done, PlatformCapabilities, SendResult, text_of

from .wire import Adapter


class Chat(Adapter):
    platform = "chat"
    capabilities = PlatformCapabilities(
        edit=True,
        delete=True,
        typing=True,
        buttons=True,
        threads=True,
        media=True,
        voice=True,
        max_length=64,
        length_unit="utf16",
    )

    def measure(self, text):
        return len(text.encode("utf-16-le")) // 2

    async def edit(self, message):
        answer = await self.ask(op="edit", id=message.id, text=text_of(message.parts))
        if "error" in answer:
            return SendResult(error=answer["error"])
        return SendResult(ids=(message.id,))

    async def delete(self, message):
        answer = await self.ask(op="delete", id=message.id)
        if "error" in answer:
            return SendResult(error=answer["error"])
        return SendResult(ids=(message.id,))

    async def typing(self, query):
        await self.ask(op="typing", chat=query.origin.chat)
        return Done()

    async def chat_info(self, query):
        return ChatInfo(title=query.origin.chat, kind="group", members=2)
