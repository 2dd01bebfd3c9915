"""Stock: what is on hand, and units held for a while. `SERVICE` is what the registry takes."""

from atomic_services.stock.run import SERVICE

__all__ = ["SERVICE"]
