"""Where an endpoint differs from OpenAI's, as data: the ``quirks`` of a provider, and of some of its models.

One list for both wires: a provider may send some of its models to one and some to the other.
"""

from __future__ import annotations

from typing import Literal

from hermes_carrier.quirks import QuirksBase

MaxTokensField = Literal["max_tokens", "max_completion_tokens", "max_output_tokens", ""]
Reasoning = Literal["effort", "object", "enabled", "thinking", "none"]
JsonMode = Literal["schema", "object", "prompt"]


class Quirks(QuirksBase, kw_only=True):
    single_system: bool = False
    """Takes one system message only: the blocks are joined with blank lines."""
    text_as_string: bool = False
    """Takes no list of text parts as content: they are joined with blank lines."""
    echo_reasoning: bool = False
    """Wants ``reasoning_content`` back on assistant messages (DeepSeek)."""
    max_tokens_field: MaxTokensField = "max_tokens"
    """Empty: takes no limit. Responses has one name for it, whatever this is."""
    temperature: bool = True
    """False: takes none; it is left out."""
    stream: bool = True
    """False: answers only whole."""
    stream_options: bool = True
    """False: does not know ``stream_options``; then usage is what it sends unasked."""
    reasoning: Reasoning = "effort"
    """How the wanted effort is said: ``reasoning_effort``, ``reasoning: {effort}``, ``reasoning: {enabled}``,
    ``thinking: {type}``, or not at all. Responses knows only ``none``: the model does not reason."""
    efforts: list[str] = []
    """The efforts it knows; another one becomes the nearest of these. Empty: all."""
    summaries: bool = True
    """False: gives no summaries of its reasoning (Responses)."""
    think_tags: bool = False
    """Thinks in its text, between ``<think>`` and ``</think>``, as local servers let models do."""
    json_mode: JsonMode = "schema"
    """``object``: knows JSON, but no schemas. ``prompt``: knows neither. Then the schema is in a system entry."""
    native_tools: bool = True
    """False: knows no tools; they are described and called in the text, in the form of the Hermes models."""
    tool_call_ids: int = 0
    """Takes ids of calls of exactly so many letters and digits (Mistral: 9). 0: any."""
    tool_result_names: bool = False
    """Wants the tool's name on its result (Mistral)."""
    user_after_tool: bool = True
    """False: refuses a user's message straight after a tool's (Mistral); an assistant's goes between them."""
    null_content: bool = True
    """False: no ``content`` at all beside tool calls, where it would be null (Mistral)."""
    cache_control: bool = False
    """Takes Anthropic's marks of what to cache (their models at OpenRouter)."""
    key_header: str = ""
    """The header that the key goes into, as it is; empty: ``authorization``, as a bearer token."""
    query: dict[str, str] = {}
    """Sent behind every address, such as Azure's ``api-version``."""
    instructions: bool = False
    """Wants the first system block as ``instructions``, the others as developer's entries (Codex; Responses)."""
    account_header: str = ""
    """The header for the id of the account, which is among the claims of the token (Codex)."""
