"""Two books are held against each other before a payer sees anything: tolerance zero."""


class BooksDiffer(Exception):
    """The provider's record does not say what our document says. The message is the reason that is kept."""


def same(what: str, ours: str, theirs: str) -> None:
    """`BooksDiffer` unless both say the same of `what`."""
    if ours != theirs:
        raise BooksDiffer(f"{what} is {ours} here and {theirs} there")
