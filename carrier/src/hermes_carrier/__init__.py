"""For plugins that speak a wire over HTTP: a `Codec` says what the bytes are, `HttpProvider` carries them.

::

    class MyCodec:
        name = "my_wire"
        ...

    def make() -> Provider:
        return HttpProvider(MyCodec(), ProviderCapabilities(images=True))

Nothing here is imported before the first model call.
"""
