"""Collecting what was invoiced: a payment provider's outbox, inbox and book."""
