"""The FinOps cost and usage export, FOCUS 1.2."""
