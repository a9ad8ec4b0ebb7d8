"""The commands ``hermes plugins install|update|remove|lock|search|publish``; see `commands`."""
