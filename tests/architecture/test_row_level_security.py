"""Nothing of one account reaches another: every table with an account has forced row-level security."""

import asyncpg


async def test_every_table_with_an_account_is_protected_and_forced(admin: asyncpg.Connection) -> None:
    tables = await admin.fetch(
        """
        SELECT c.oid::regclass::text AS name, c.relrowsecurity, c.relforcerowsecurity,
               (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid) AS policies
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname IN ('catalog', 'gateway', 'billing', 'stock')
          AND (EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'account_id')
               OR c.oid = 'catalog.account'::regclass)
        """
    )
    assert len(tables) > 10
    for table in tables:
        assert (table["relrowsecurity"], table["relforcerowsecurity"]) == (True, True), table["name"]
        assert table["policies"] == 1, table["name"]


async def test_a_session_without_a_scope_sees_no_account(
    admin: asyncpg.Connection, gateway_pool: asyncpg.Pool
) -> None:
    await admin.execute(
        """
        INSERT INTO catalog.account (id, name, title, kind, currency, timezone, created_at)
        VALUES ('acct_a', 'a', '{"en": "A"}', 'internal', 'CNY', 'Asia/Shanghai', now()),
               ('acct_b', 'b', '{"en": "B"}', 'internal', 'CNY', 'Asia/Shanghai', now())
        """
    )
    async with gateway_pool.acquire() as connection:
        assert await connection.fetch("SELECT id FROM catalog.account") == []
        async with connection.transaction():
            await connection.execute("SET LOCAL ordergate.account = 'acct_a'")
            assert [row["id"] for row in await connection.fetch("SELECT id FROM catalog.account")] == [
                "acct_a"
            ]
        assert await connection.fetch("SELECT id FROM catalog.account") == [], (
            "a scope ends with its transaction"
        )


async def test_no_role_of_the_product_can_pass_the_policies_or_change_the_books(
    admin: asyncpg.Connection,
) -> None:
    roles = await admin.fetch(
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname LIKE 'ordergate_%'"
    )
    assert {role["rolname"] for role in roles} == {
        "ordergate_owner",
        "ordergate_gateway",
        "ordergate_billing",
        "ordergate_reader",
    }
    assert not any(
        role["rolsuper"] or role["rolbypassrls"] or role["rolcreaterole"] or role["rolcreatedb"]
        for role in roles
    )
    for role in ("ordergate_gateway", "ordergate_billing", "ordergate_reader"):
        for table in (
            "billing.posting",
            "billing.ledger_transaction",
            "billing.rated_line",
            "billing.invoice_line",
            "billing.usage_event",
            "catalog.audit",
        ):
            for privilege in ("UPDATE", "DELETE", "TRUNCATE"):
                granted = await admin.fetchval(
                    "SELECT has_table_privilege($1, $2, $3)", role, table, privilege
                )
                assert not granted, f"{role} may {privilege} {table}"
    assert not await admin.fetchval(
        "SELECT has_column_privilege('ordergate_reader', 'gateway.api_key', 'digest', 'SELECT')"
    )
