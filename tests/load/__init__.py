"""A load generator that keeps its own book: `python -m tests.load --help`."""
