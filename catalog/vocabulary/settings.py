"""What the settings of every process have in common: where an installation is, and how a value is turned down."""

LOOPBACK = "127.0.0.1"
"""This machine, as it reaches itself and nobody else does."""

DEFAULT_HOME = ".ordergate"
"""The state directory where ORDERGATE_HOME names none, in the current directory."""


class InvalidSetting(ValueError):
    """A variable or a file of secrets that cannot be used; the message names it, the rule and the remedy."""
