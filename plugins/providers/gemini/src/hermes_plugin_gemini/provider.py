"""The transport ``gemini``."""

from __future__ import annotations

from hermes.contracts.provider import ProviderCapabilities
from hermes_carrier.provider import HttpProvider

from .carrier import GoogleCarrier
from .codec import GeminiCodec


class Gemini(HttpProvider):
    """The transport ``gemini``."""

    def __init__(self) -> None:
        capabilities = ProviderCapabilities(
            images=True, audio=True, files=True, response_format=True, thinking=True, model_list=True
        )
        super().__init__(
            GeminiCodec(),
            capabilities,
            http=GoogleCarrier,
            sdk="hermes_plugin_gemini.sdk:SdkCarrier",
            install="hermes-plugin-gemini[sdk]",
        )
