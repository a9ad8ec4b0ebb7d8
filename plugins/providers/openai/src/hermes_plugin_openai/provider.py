"""The transports ``chat_completions`` and ``responses``."""

from __future__ import annotations

from hermes.contracts.provider import ProviderCapabilities
from hermes_carrier.provider import HttpProvider

from .codec import ChatCompletionsCodec
from .responses_codec import ResponsesCodec

SDK = "hermes_plugin_openai.sdk:SdkCarrier"
INSTALL = "hermes-plugin-openai[sdk]"


class ChatCompletions(HttpProvider):
    """The transport ``chat_completions``."""

    def __init__(self) -> None:
        capabilities = ProviderCapabilities(
            images=True, audio=True, files=True, response_format=True, thinking=True, model_list=True
        )
        super().__init__(ChatCompletionsCodec(), capabilities, sdk=SDK, install=INSTALL)


class Responses(HttpProvider):
    """The transport ``responses``."""

    def __init__(self) -> None:
        capabilities = ProviderCapabilities(
            images=True, files=True, response_format=True, thinking=True, model_list=True
        )
        super().__init__(ResponsesCodec(), capabilities, sdk=SDK, install=INSTALL)
