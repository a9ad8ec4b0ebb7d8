"""The program that isolated plugins run in. The kernel starts it; see ``plugins/isolated.py``."""
