"""`Gemini` does what every provider has to do, by plain HTTP and by Google's own library."""

from __future__ import annotations

import msgspec

from hermes import Endpoint
from hermes_testkit.http_provider_suite import HttpProviderSuite


class TestGemini(HttpProviderSuite):
    wire = "gemini"
    factory = "hermes_plugin_gemini.provider:Gemini"
    needs = ("hermes_carrier",)

    def make_endpoint(self, url: str) -> Endpoint:
        return super().make_endpoint(f"{url}/v1beta")


class TestGeminiBySdk(TestGemini):
    places = ("in_process",)
    """What a host adds is the same for both carriers; importing the library there takes half a second a test."""

    def make_endpoint(self, url: str) -> Endpoint:
        return msgspec.structs.replace(super().make_endpoint(url), carrier="sdk")
