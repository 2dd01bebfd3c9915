"""Settling inside the group: what cost centres bear, what units earn, what is left of it."""
