"""The server's settings, for a machine of two cores and up to 24 GiB that it shares with the rest of the product.

Given on the command line, where neither `postgresql.conf` nor `ALTER SYSTEM` can weaken them by accident.
"""

from pathlib import Path

_SETTINGS = {
    # Reached through a socket in a 0700 folder and in no other way; this is what makes `trust` authentication safe.
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",
    # Durability: what is answered is on disk.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # Recovery after a crash reads at most this much.
    "max_wal_size": "1GB",
    "wal_compression": "on",
    # Memory and processes, small when idle.
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "io_method": "worker",
    "io_workers": "2",
    "max_worker_processes": "4",
    "max_parallel_workers": "2",
    "autovacuum_max_workers": "2",
    "autovacuum_worker_slots": "4",
    "max_wal_senders": "2",
    "max_replication_slots": "2",
    "jit": "off",
    "random_page_cost": "1.1",
    # A client that hangs or dies does not hold locks for long.
    "idle_in_transaction_session_timeout": "60s",
    "client_connection_check_interval": "5s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Errors go to the client that made them. Their text and their statement can quote data, so the log, which
    # people copy around, keeps only what concerns the server itself.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
    "log_statement": "none",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


CONNECTIONS_MIN = 60
"""As many as commands, tests and a small installation need without counting."""


def server_arguments(data: Path, socket: Path, connections: int = CONNECTIONS_MIN) -> list[str]:
    """The arguments of `postgres` for a cluster in `data` with its socket in `socket`, for so many clients at once."""
    arguments = ["-D", str(data), "-c", f"unix_socket_directories={socket}"]
    settings = {**_SETTINGS, "max_connections": str(max(connections, CONNECTIONS_MIN))}
    for name, value in settings.items():
        arguments += ["-c", f"{name}={value}"]
    return arguments
