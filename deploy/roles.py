"""The database's roles: the owner migrates; the gateway, billing and reader roles can do no more than they must."""

import asyncpg

OWNER = "ordergate_owner"
GATEWAY = "ordergate_gateway"
BILLING = "ordergate_billing"
READER = "ordergate_reader"

# The session that prepares the database holds this lock, so that two starts never race.
MIGRATION_LOCK = 0x4F72_6467

_MAY_SET_ROLE = """
    SELECT pg_has_role(current_user, $1, CASE WHEN current_setting('server_version_num')::integer < 160000
                                              THEN 'MEMBER' ELSE 'SET' END)
"""


async def prepare_roles(admin: asyncpg.Connection) -> None:
    """Create what is missing and give the owner the database; `admin` owns it and has CREATEROLE.

    Where the administrator is not a superuser (a hosted server) it becomes a member of each role, so that the
    product can `SET ROLE` from the one address it was given. A member of roles that are there already needs no CREATEROLE.
    """
    await admin.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
    try:
        existing = {row["rolname"] for row in await admin.fetch("SELECT rolname FROM pg_roles")}
        superuser = await admin.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        for role in (OWNER, GATEWAY, BILLING, READER):
            if role not in existing:
                await admin.execute(
                    f"CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS"
                )
            # From PostgreSQL 16 on, who makes a role may administer it, but is no member that may `SET ROLE`.
            if not superuser and not await admin.fetchval(_MAY_SET_ROLE, role):
                await admin.execute(f"GRANT {role} TO CURRENT_USER")
        database = await admin.fetchval("SELECT quote_ident(current_database())")
        await admin.execute(f"GRANT CREATE, TEMPORARY ON DATABASE {database} TO {OWNER}")
        await admin.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
        await admin.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {BILLING}")
        await admin.execute(f"GRANT CONNECT ON DATABASE {database} TO {OWNER}, {GATEWAY}, {READER}")
        await admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    finally:
        await admin.execute("SELECT pg_advisory_unlock($1)", MIGRATION_LOCK)
