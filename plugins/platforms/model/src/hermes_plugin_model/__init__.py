"""The command ``hermes model``, see `commands`; the orders of preference among keys are in the manifest."""
