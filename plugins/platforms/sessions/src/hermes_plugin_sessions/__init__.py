"""The command ``hermes sessions``; see `commands`."""
