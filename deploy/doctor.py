"""What is wrong with an installation, and what to do about it."""

import shutil
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import msgspec

from atomic_services.registry import CatalogueMismatchError, check
from billing.journal import filesystem_warning, journal_directories
from billing.payment.mode import known_mode, mode_name
from billing.settings import stripe_secrets
from catalog.registry import audit
from catalog.registry.audit import Head
from catalog.registry.published import catalogue
from catalog.transaction import Transaction
from catalog.vocabulary.settings import InvalidSetting
from deploy.audit_head import keep_head, kept_head
from deploy.connections import WORKERS, connections_needed, room
from deploy.database import Database
from deploy.embedded_postgres import EmbeddedPostgresError
from deploy.embedded_postgres.binaries import find_binaries
from deploy.home import FREE_BYTES_MIN, Home
from deploy.installation import NotInstalled, acting, open_database, reading
from deploy.peppers import PeppersMissing, require_peppers
from deploy.roles import OWNER
from gateway.settings import from_environment as gateway_settings

_UNRATED = """
    SELECT count(*) FROM billing.usage_event WHERE stored_at < now() - interval '60 seconds'
       AND stored_xid >= (SELECT xid FROM billing.watermark WHERE step = 'rollup')
"""
# A dead worker's are settled within seconds: these wait for something that does not come.
_STUCK_LEASES = """
    SELECT count(*) FROM billing.lease LEFT JOIN billing.lease_holder AS holder USING (journal_id)
     WHERE state <> 'closed' AND granted_at < now() - interval '120 seconds'
       AND (state = 'orphaned' OR holder.worker_id IS DISTINCT FROM lease.worker_id
            OR seen_at < now() - interval '60 seconds')
"""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at: whether it is in order, what was seen, and what to do where it is not."""

    subject: str
    in_order: bool
    seen: str
    remedy: str = ""


def examine_machine(home: Home) -> Iterator[Finding]:
    """What can be seen without a database."""
    running = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    yield Finding(
        "python", sys.version_info >= (3, 11), running, "Install Python 3.11 or later and run `make setup`."
    )
    try:
        yield Finding("postgresql", True, f"programs in {find_binaries()}")
    except EmbeddedPostgresError as error:
        yield Finding("postgresql", False, error.message, error.remedy)
    yield from _examine_home(home)
    served = home.running()
    yield Finding(
        "serving",
        True,
        f"process {served.pid} at {served.address}"
        if served
        else "not running; start it with `ordergate up`",
    )


def _examine_home(home: Home) -> Iterator[Finding]:
    if not home.path.exists():
        yield Finding("home", True, f"{home.path} does not exist yet; `ordergate up` makes it")
        return
    free = shutil.disk_usage(home.path).free
    yield Finding(
        "disk",
        free >= FREE_BYTES_MIN,
        f"{free // 1024**2} MiB free under {home.path}",
        "Make room: a full disk stops acknowledging calls.",
    )
    open_files = [path for path in _files(home.secrets) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    yield Finding(
        "secrets",
        not open_files,
        f"{len(open_files)} files that others can read" if open_files else "closed to others",
        f"chmod 600 {' '.join(str(path) for path in open_files)}",
    )
    warning = filesystem_warning(home.path)
    yield Finding(
        "journals",
        warning is None,
        warning or "on a file system that keeps them",
        "Move ORDERGATE_HOME there.",
    )


def examine_database(home: Home, url: str | None) -> "Iterator[Database | Finding]":
    """The open database once, or the finding that says why there is none."""
    try:
        with open_database(home, url) as database:
            yield database
    except NotInstalled as error:
        yield Finding("database", False, "there is none here yet", str(error))
    except EmbeddedPostgresError as error:
        yield Finding("database", False, error.message, error.remedy)


async def examine_contents(database: Database, home: Home) -> AsyncIterator[Finding]:
    """Connections, schema, keys, catalogue, audit log, flow and payments."""
    try:
        async with reading(database) as transaction:
            yield Finding("database", True, "answers")
            yield await _examine_connections(database, home)
            yield await _examine_schema(database)
            yield await _examine_keys(database, home)
            yield await _examine_catalogue(transaction)
            yield await _examine_audit(transaction, home)
            yield await _examine_flow(transaction, home)
            yield await _examine_leases(transaction)
            yield await _examine_payments(transaction, home)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        yield Finding(
            "database",
            False,
            f"{type(error).__name__}: {error}",
            "Start it, check ORDERGATE_DATABASE_URL, or run `ordergate up` once to prepare it.",
        )


async def _examine_connections(database: Database, home: Home) -> Finding:
    served = home.running()
    workers = WORKERS if served is None else served.workers
    try:
        needed = connections_needed(workers, gateway_settings().database_connections)
    except InvalidSetting as invalid:
        return Finding("connections", False, str(invalid), "Correct the variable, or leave it unset.")
    admin = await asyncpg.connect(**database.admin())
    try:
        found = await room(admin)
    finally:
        await admin.close()
    return Finding(
        "connections",
        # The embedded server gets as many as the workers that it is started for.
        database.url is None or needed <= found.connections,
        f"{workers} workers and what runs beside them use {needed} at most, {found.limit} grants {found.connections}",
        f"Raise {found.limit}, or lower ORDERGATE_DATABASE_CONNECTIONS or `--workers`.",
    )


async def _examine_keys(database: Database, home: Home) -> Finding:
    try:
        # The reading role may not see under which pepper a key was digested.
        async with acting(database) as operator:
            await require_peppers(operator, home.path)
    except PeppersMissing as missing:
        return Finding("keys", False, "not all of the database's keys are known here", str(missing))
    return Finding("keys", True, "all are known under this home's peppers")


async def _examine_schema(database: Database) -> Finding:
    # Loaded for this question only: it takes longer than the other examinations together.
    from deploy.migrate import newest_revision

    newest = newest_revision()
    # Only the owner may see which revision the schema has.
    owner = await asyncpg.connect(**database.as_role(OWNER))
    try:
        found = await owner.fetchval("SELECT version_num FROM public.schema_version")
    finally:
        await owner.close()
    seen = f"revision {found}, this version has {newest}"
    return Finding("schema", found == newest, seen, "Restart with `ordergate up`.")


async def _examine_catalogue(transaction: Transaction) -> Finding:
    try:
        on_sale = await catalogue(transaction)
        check(on_sale)
    except CatalogueMismatchError as mismatch:
        return Finding(
            "catalogue",
            False,
            str(mismatch),
            "Restart with `ordergate up`, which publishes the code's interfaces.",
        )
    return Finding("catalogue", True, f"{len(on_sale.operations)} operations, as the code has them")


async def _examine_audit(transaction: Transaction, home: Home) -> Finding:
    """The chain, and that it goes on from where it ended when it was looked at last; then where it ends now is kept."""
    remedy = "Somebody changed the database by hand: compare with a backup; see deploy/runbooks/audit-log.md."
    try:
        kept = kept_head(home)
    except msgspec.DecodeError as error:
        return Finding("audit log", False, f"{home.audit_head} cannot be read ({error})", remedy)
    found = await audit.verify(transaction, kept)
    if not found.is_sound:
        return Finding("audit log", False, f"entry {found.broken_at}: {found.reason}", remedy)
    if home.path.is_dir():
        keep_head(home, Head(found.entries, found.head))
    return Finding("audit log", True, f"{found.entries} entries hold, the last one is {found.head}")


async def _examine_flow(transaction: Transaction, home: Home) -> Finding:
    late = await transaction.fetchval(_UNRATED)
    journals = len(journal_directories(home.journals)) if home.journals.is_dir() else 0
    return Finding(
        "flow",
        late == 0,
        f"{journals} journals, {late} calls stored for over a minute and not added up",
        "Start `ordergate up`; if it runs, its log says why billing stands still.",
    )


async def _examine_leases(transaction: Transaction) -> Finding:
    stuck = await transaction.fetchval(_STUCK_LEASES)
    return Finding(
        "leases",
        stuck == 0,
        f"{stuck} parts of quotas, budgets or credit are kept by workers that are gone",
        "Start `ordergate up`; if it runs, `ordergate leases list` says what each of them waits for.",
    )


async def _examine_payments(transaction: Transaction, home: Home) -> Finding:
    """Whether the provider's key is of the mode that this installation is for, and its payers are known in."""
    try:
        secrets = stripe_secrets(home.path)
    except InvalidSetting as invalid:
        return Finding(
            "payments", False, str(invalid), "Correct the file, or remove it: nothing is collected then."
        )
    if secrets is None:
        return Finding("payments", True, "no provider is configured: invoices are paid by transfer")
    remedy = "Nothing is collected until that is put right; see deploy/runbooks/payments.md."
    if secrets.mismatch:
        return Finding("payments", False, secrets.mismatch, remedy)
    known = await known_mode(transaction)
    if known is (not secrets.is_live):
        seen = f"payers are known in Stripe's {mode_name(known)} mode, and the key is of its other one"
        return Finding("payments", False, seen, remedy)
    money = "play money, for trying out" if secrets.trial else "real money"
    return Finding("payments", True, f"collected through Stripe, with {money}")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
