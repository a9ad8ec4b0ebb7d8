"""What a plugin implements, what it may ask of the kernel, and the values that cross the border.

Nothing here imports anything else of the kernel. A contract is a ``Protocol`` whose methods are
``async m(Struct) -> Struct`` or ``m(Struct) -> AsyncIterator[Struct]``, so a plugin runs in this
process or in another without knowing which.
"""
