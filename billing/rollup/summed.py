"""A table of sums over usage rows: what it is grouped by, what is added up, and the query that does both."""

import msgspec


class Summed(msgspec.Struct, frozen=True):
    """`grouped` selects key and sums, in this order, from the rows with $1 <= stored_xid < $2."""

    name: str
    key: tuple[str, ...]
    sums: tuple[str, ...]
    grouped: str

    @property
    def table(self) -> str:
        """Where the sums are stored."""
        return f"billing.{self.name}"

    @property
    def recomputed(self) -> str:
        """The temporary table with the sums added up anew."""
        return f"pg_temp.recomputed_{self.name}"

    @property
    def key_list(self) -> str:
        """The key's columns for a statement."""
        return ", ".join(self.key)

    @property
    def sum_list(self) -> str:
        """The sums' columns for a statement."""
        return ", ".join(self.sums)

    @property
    def add_up(self) -> str:
        """The statement that adds the rows between two transaction ids to the stored sums."""
        return (
            f"INSERT INTO {self.table} AS kept ({self.key_list}, {self.sum_list}) {self.grouped} "
            f"ON CONFLICT ({self.key_list}) DO UPDATE "
            f"SET {', '.join(f'{name} = kept.{name} + excluded.{name}' for name in self.sums)}"
        )
