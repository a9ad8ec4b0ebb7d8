"""Short messages: text alone, 70 bytes at a time. The server repeats what was not acknowledged."""

import json

from hermes import ChatInfo, PlatformCapabilities

from .wire import Adapter


class Sms(Adapter):
    platform = "sms"
    capabilities = PlatformCapabilities(max_length=70, length_unit="bytes")

    def measure(self, text):
        return len(text.encode())

    def taken(self, given, writer):
        writer.write(json.dumps({"ack": given["seq"]}).encode() + b"\n")

    async def chat_info(self, query):
        return ChatInfo(title=query.origin.chat, kind="direct", members=2)
