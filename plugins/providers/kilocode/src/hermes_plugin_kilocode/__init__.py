"""Kilo Code, as data: all there is to it is in ``plugin.yaml``."""
