"""For authors of plugins: ``hermes plugins new``, ``check`` and ``manifest``."""
