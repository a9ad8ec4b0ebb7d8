"""The command ``hermes usage``; see `command`."""
