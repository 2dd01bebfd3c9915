"""Everything needed to stand up again, in one directory: the database, the journals and the secrets.

DIR/
  backup.json       format, version of the product, when, where the audit log ended, and the SHA-256 of every other file
  database.dump     pg_dump's custom format
  journals/         every journal, taken after the dump: it holds at least what the database had been shipped
  secrets/          the peppers, without which no key is known again; keep the backup as safe as the installation
"""

import asyncio
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import msgspec
from rich.filesize import decimal

from billing.journal import journal_directories
from billing.journal.directory import listing_held
from billing.rollup.restore import after_restore
from catalog.registry.audit import Head, head
from catalog.vocabulary.clock import rfc3339
from deploy.audit_head import keep_head
from deploy.backup_room import bytes_free, bytes_needed
from deploy.database import Database
from deploy.embedded_postgres import EmbeddedPostgres
from deploy.home import Home
from deploy.installation import reading
from deploy.roles import OWNER, prepare_roles

FORMAT = 1
# pg_restore 18 sets parameters that older servers do not know.
_RESTORES_INTO = 17
_MANIFEST = "backup.json"
_DUMP = "database.dump"
# What gateways copy by transaction id: an id of a server that counted further would be copied again and again.
_STAMPED = "SELECT tgrelid::regclass::text AS name FROM pg_trigger WHERE tgfoid = 'catalog.stamp_change'::regproc ORDER BY 1"
# All other transaction ids that are kept: of transactions that had ended before the backup, or ended with it. Whoever waited
# for one would wait until this server has counted as far.
_ENDED = """
    SELECT attrelid::regclass::text AS name, quote_ident(attname) AS id FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
     WHERE atttypid = 'xid8'::regtype AND relkind IN ('r', 'p') AND NOT relispartition
       AND relnamespace::regnamespace::text NOT LIKE 'pg\\_%'
       AND attrelid NOT IN ('billing.usage_event'::regclass, 'billing.watermark'::regclass)
       AND attrelid NOT IN (SELECT tgrelid FROM pg_trigger WHERE tgfoid = 'catalog.stamp_change'::regproc) ORDER BY 1, 2
"""


class BackupRefused(Exception):
    """The backup or restore was not begun, or failed; the message says why and what to do."""


class Manifest(msgspec.Struct, frozen=True):
    """What a backup is: `files` maps each file's path in it to its SHA-256. `audit` is where the audit log ended just before;
    None in backups of versions that did not keep it."""

    format: int
    product: str
    taken_at: str
    files: dict[str, str]
    audit: Head | None = None


class Backup(msgspec.Struct, frozen=True):
    """A backup that was written, and how many bytes it takes."""

    manifest: Manifest
    size_bytes: int


def take_backup(
    home: Home, database: Database, directory: Path, now: datetime, notice: Callable[[str], object]
) -> Backup:
    """Write a backup into a directory that is missing or empty; the product may go on meanwhile.

    `notice` is told what is being done. `BackupRefused` where there is no room for it, before anything is written; what an
    attempt that fails had written is taken away again.
    """
    if directory.exists() and any(directory.iterdir()):
        raise BackupRefused(f"{directory} is not empty; name a directory that a backup can have for itself.")
    if not home.secrets.is_dir() or not any(home.secrets.iterdir()):
        raise BackupRefused(
            f"{home.path} has no secrets, so it is not where this installation runs, or was never started: set "
            "ORDERGATE_HOME as for `ordergate up`. Without journals and secrets a backup could not stand up."
        )
    needed, free = asyncio.run(bytes_needed(home, database)), bytes_free(home, directory)
    if needed > free:
        raise BackupRefused(
            f"A backup takes up to {decimal(needed)}, and {directory} has room for {decimal(free)} beside what the "
            "installation needs: make room, or name a directory on another disk."
        )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return _write_backup(home, database, directory, now, notice)
    except BaseException:
        # Half a backup is none, and the next attempt wants the directory, and the journals the room.
        _empty(directory)
        raise


def _write_backup(
    home: Home, database: Database, directory: Path, now: datetime, notice: Callable[[str], object]
) -> Backup:
    """The dump is one snapshot and comes first, so the journals hold at least what it says was shipped."""
    ended = asyncio.run(_audit_head(database))
    notice("the database")
    _run(home, database, "pg_dump", "--format=custom", f"--file={directory / _DUMP}", "--enable-row-security")
    notice("the journals")
    for journal in journal_directories(home.journals) if home.journals.is_dir() else ():
        # Pruning waits, so the copy has no hole between what the digests say and what is there.
        with listing_held(journal, exclusive=False):
            _copy(journal, directory / "journals" / journal.name)
    _copy(home.secrets, directory / "secrets")
    (directory / _DUMP).chmod(0o600)
    notice("check sums")
    files = {str(path.relative_to(directory)): _sha256(path) for path in _files(directory)}
    manifest = Manifest(FORMAT, version("ordergate"), rfc3339(now), files, ended)
    _write_durably(directory / _MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))
    return Backup(manifest, sum(path.stat().st_size for path in _files(directory)))


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a backup whose files are all there and unchanged; `BackupRefused` otherwise."""
    try:
        manifest = msgspec.json.decode((directory / _MANIFEST).read_bytes(), type=Manifest)
    except OSError as error:
        why = f"its {_MANIFEST} cannot be read ({error.strerror})"
        if isinstance(error, FileNotFoundError):
            why = f"it has no {_MANIFEST}" if directory.is_dir() else "there is no such directory"
        raise _not_whole(directory, why) from None
    except msgspec.DecodeError as error:
        raise _not_whole(directory, f"its {_MANIFEST} was changed ({error})") from None
    if manifest.format != FORMAT:
        raise BackupRefused(
            f"{directory} has format {manifest.format}; restore it with Ordergate {manifest.product}."
        )
    for name, digest in manifest.files.items():
        path = directory / name
        if not path.is_file() or _sha256(path) != digest:
            raise BackupRefused(f"{path} is missing or was changed; restore from another backup.")
    return manifest


def _not_whole(directory: Path, why: str) -> BackupRefused:
    return BackupRefused(
        f"{directory} is not a whole backup: {why}. Name the directory that `ordergate backup` made."
    )


def restore_backup(home: Home, url: str | None, directory: Path) -> Manifest:
    """Stand up a backup in a home without journals and a database without Ordergate; then `ordergate up` goes on.

    Usage that the journals hold and the database had not been shipped is shipped by the next start.
    """
    manifest = read_manifest(directory)
    if home.running() is not None:
        raise BackupRefused(
            f"{home.path} is being served; stop it, and restore into an empty ORDERGATE_HOME."
        )
    if (home.postgres / "data").exists() or (home.journals.is_dir() and any(home.journals.iterdir())):
        raise BackupRefused(f"{home.path} holds an installation; restore into an empty ORDERGATE_HOME.")
    home.make()
    if url is not None:
        _restore_database(home, Database(url=url), directory)
    else:
        with EmbeddedPostgres(home.path) as server:
            _restore_database(home, Database(socket_dir=server.socket_dir), directory)
    for name in ("journals", "secrets"):
        if (directory / name).is_dir():
            _copy(directory / name, home.path / name)
    if manifest.audit is not None:
        keep_head(home, manifest.audit)
    return manifest


async def _audit_head(database: Database) -> Head:
    async with reading(database) as transaction:
        return await head(transaction)


def _restore_database(home: Home, database: Database, directory: Path) -> None:
    asyncio.run(_prepare(database))
    _run(
        home,
        database,
        "pg_restore",
        "--exit-on-error",
        "--single-transaction",
        str(directory / _DUMP),
    )
    asyncio.run(_translate_transaction_ids(database))


async def _prepare(database: Database) -> None:
    admin = await asyncpg.connect(**database.admin())
    try:
        if await admin.fetchval("SELECT to_regclass('public.schema_version') IS NOT NULL"):
            raise BackupRefused("The database holds an installation already; restore into an empty one.")
        if admin.get_server_version().major < _RESTORES_INTO:
            raise BackupRefused(
                f"The programs that restore need PostgreSQL {_RESTORES_INTO} or later, and the server is older: restore "
                "without ORDERGATE_DATABASE_URL into the embedded one, or name a newer server."
            )
        await prepare_roles(admin)
        await admin.execute(f"GRANT CREATE ON SCHEMA public TO {OWNER}")
    finally:
        await admin.close()


async def _translate_transaction_ids(database: Database) -> None:
    """What marked rows as new on the old server means nothing on this one; see billing/rollup/restore.py."""
    owner = await asyncpg.connect(**database.as_role(OWNER, {"ordergate.account": "*"}))
    try:
        async with owner.transaction():
            await after_restore(owner)
            for row in await owner.fetch(_STAMPED):
                await _set(owner, row["name"], "changed_xid = pg_current_xact_id()")
            for row in await owner.fetch(_ENDED):
                await _set(owner, row["name"], f"{row['id']} = '0' WHERE {row['id']} IS NOT NULL")
    finally:
        await owner.close()


async def _set(owner: asyncpg.Connection, table: str, what: str) -> None:
    """Change a mark of rows that triggers keep as they are."""
    await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await owner.execute(f"UPDATE {table} SET {what}")  # noqa: S608 - names of the catalogue
    await owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def _run(home: Home, database: Database, program: str, *arguments: str) -> None:
    """A client program of the embedded server's, against this database, seeing all accounts."""
    server = EmbeddedPostgres(home.path)
    environment: dict[str, str] = {**server.client_environment(), "PGOPTIONS": "-c ordergate.account=*"}
    if database.url is None:
        options = [f"--dbname={database.name}"]
    else:
        for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE"):
            del environment[name]
        # The list of processes shows arguments to everybody, but not the environment.
        address, environment["PGPASSWORD"] = _without_password(database.url)
        options = [f"--dbname={address}", f"--role={OWNER}"]
    done = subprocess.run(
        [server.bin(program), *options, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise BackupRefused(f"{program} failed: {said[0] if said else f'status {done.returncode}'}")


def _without_password(url: str) -> tuple[str, str]:
    """An address and the password that was in it, if any."""
    parts = urlsplit(url)
    user, _, place = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    return parts._replace(netloc=f"{name}@{place}" if name else place).geturl(), unquote(password)


def _copy(source: Path, target: Path) -> None:
    """Copy a tree of regular files, closed to everybody else; what is only being prepared is left out."""
    try:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.tmp", "*.new"), dirs_exist_ok=True)
    except shutil.Error as failed:
        path, _, reason = failed.args[0][0]
        raise BackupRefused(f"{path} could not be copied to {target}: {reason}.") from None
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        folder.chmod(0o700)


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in sorted(directory.rglob("*")) if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_durably(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
