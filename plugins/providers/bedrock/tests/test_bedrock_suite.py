"""`BedrockConverse` does what every provider has to do: in this process, in a plugin host, and with signed requests."""

from __future__ import annotations

from hermes import Endpoint, Provider
from hermes_plugin_bedrock.provider import BedrockConverse
from hermes_testkit.http_provider_suite import HttpProviderSuite
from hermes_testkit.provider_cases import KEY


class TestBedrockConverse(HttpProviderSuite):
    wire = "bedrock_converse"
    factory = "hermes_plugin_bedrock.provider:BedrockConverse"
    needs = ("hermes_carrier",)
    counts_reasoning = False


class TestSigned(HttpProviderSuite):
    """What goes over the wire of the key is its id."""

    wire = "bedrock_converse"
    counts_reasoning = False

    def make_provider(self) -> Provider:
        return BedrockConverse()

    def make_endpoint(self, url: str) -> Endpoint:
        return Endpoint(provider="suite", base_url=url, options={"access_key": KEY, "secret_key": "a-secret"})
