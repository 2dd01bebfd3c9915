"""The one exception of the embedded database."""


class EmbeddedPostgresError(Exception):
    """The embedded database cannot do what was asked: `message` says what is wrong, `remedy` what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        """Both are whole sentences for the person at the terminal."""
        super().__init__(f"{message}\n{remedy}")
        self.message = message
        self.remedy = remedy
