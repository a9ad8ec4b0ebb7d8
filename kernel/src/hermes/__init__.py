"""Hermes: a small kernel on pluggy. This is its public API; everything else is private.

Names are imported on first use, so that importing ``hermes`` costs nothing.
"""

from __future__ import annotations

__version__ = "1.0.0"
