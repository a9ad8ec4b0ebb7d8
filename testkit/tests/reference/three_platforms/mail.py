"""Mail: threads by reference, files, no limit; it asks for new ones now and then."""

from hermes import ChatInfo, PlatformCapabilities

from .wire import PAUSE, Adapter


class Mail(Adapter):
    platform = "mail"
    capabilities = PlatformCapabilities(threads=True, media=True)

    async def incoming(self):
        while True:
            try:
                batch = await self.ask(op="fetch", after=self._after)
            except (ConnectionError, ValueError):  # cut before or in the middle of the answer
                batch = []
            for given in batch:
                self._after = max(self._after, given["seq"])
                yield self.message(given)
            await self._clock.sleep(PAUSE)

    async def chat_info(self, query):
        return ChatInfo(title=f"Mail with {query.origin.chat}", kind="direct", members=2)
