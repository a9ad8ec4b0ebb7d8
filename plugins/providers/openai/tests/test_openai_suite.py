"""`ChatCompletions` does what every provider has to do."""

from __future__ import annotations

from hermes_testkit.http_provider_suite import HttpProviderSuite

from hermes import Provider
from hermes_plugin_openai.carrier import ChatCompletions


class TestChatCompletions(HttpProviderSuite):
    wire = "chat_completions"

    def make_provider(self) -> Provider:
        return ChatCompletions()
