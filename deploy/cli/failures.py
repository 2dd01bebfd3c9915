"""What a command says when something expected went wrong: one paragraph, with what to do."""

import asyncpg

from billing.cut import LagStays
from billing.journal import JournalDamaged
from catalog.passport import PassportRefused
from catalog.vocabulary.problem import Problem
from catalog.vocabulary.settings import InvalidSetting
from deploy.embedded_postgres import EmbeddedPostgresError
from deploy.home import AlreadyRunning
from deploy.installation import NotInstalled
from deploy.peppers import PeppersMissing
from deploy.settings import from_environment

_NO_SCHEMA = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, asyncpg.UndefinedColumnError)


def explanation(error: Exception) -> str | None:
    """The paragraph for an expected failure; None for one that nobody expected, whose traceback is wanted."""
    match error:
        case Problem():
            # The table's remedy speaks to callers over HTTP; what commands can meet says in its detail what to do.
            return error.detail
        case EmbeddedPostgresError():
            return f"{error.message} {error.remedy}"
        case (
            PassportRefused()
            | NotInstalled()
            | AlreadyRunning()
            | InvalidSetting()
            | JournalDamaged()
            | LagStays()
            | PeppersMissing()
        ):
            return str(error)
        case asyncpg.PostgresError() if isinstance(error, _NO_SCHEMA):
            return f"The database has no schema of this version ({error}). Start it once with `ordergate up`."
        case asyncpg.ClientConfigurationError():
            return f"ORDERGATE_DATABASE_URL cannot be used: {error}. Write postgresql://user:password@host:5432/database."
        case OSError() if error.filename is not None:
            return f"{error.filename}: {error.strerror}. Check the path and who may read and write there."
        case OSError() if from_environment().database_url is not None:
            return (
                f"The database in ORDERGATE_DATABASE_URL cannot be reached ({str(error) or type(error).__name__}). "
                "Start that server, or correct the variable."
            )
        case asyncpg.PostgresError() | asyncpg.InterfaceError() | OSError():
            return f"{str(error) or type(error).__name__}. `ordergate doctor` looks for the cause."
        case _:
            return None
