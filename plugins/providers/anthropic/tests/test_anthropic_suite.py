"""`AnthropicMessages` does what every provider has to do, over both of its carriers."""

from __future__ import annotations

import msgspec

from hermes import Endpoint, Provider
from hermes_plugin_anthropic.provider import AnthropicMessages
from hermes_testkit.http_provider_suite import HttpProviderSuite


class TestAnthropicMessages(HttpProviderSuite):
    wire = "anthropic_messages"
    factory = "hermes_plugin_anthropic.provider:AnthropicMessages"
    needs = ("hermes_carrier",)


class TestAnthropicMessagesBySdk(HttpProviderSuite):
    """In this process only: what crosses the border is the same, and a host would import the SDK for every test."""

    wire = "anthropic_messages"

    def make_provider(self) -> Provider:
        return AnthropicMessages()

    def make_endpoint(self, url: str) -> Endpoint:
        return msgspec.structs.replace(super().make_endpoint(url), carrier="sdk")
