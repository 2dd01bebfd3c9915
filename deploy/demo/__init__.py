"""The demo group that a first start shows."""
