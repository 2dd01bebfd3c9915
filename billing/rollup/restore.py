"""After a logical restore: transaction ids of another server mean nothing on this one."""

from billing.transaction import Connection


async def after_restore(connection: Connection) -> None:
    """Translate the watermark and the rows' transaction ids to this server's counter, in the caller's transaction.

    The new server may count far below the old one, so that rows stored from now on would lie below the restored
    watermark and never be added up. Rows that were added up before the backup get the id '0', below every
    watermark; the others get this transaction's, at the watermark, and are next. `connection` is the owner's, with
    every account in scope, before anything else writes: no role of the running product may change usage rows.
    """
    assert connection.is_in_transaction()
    await connection.execute(
        """
        UPDATE billing.usage_event AS event
           SET stored_xid = CASE WHEN event.stored_xid < watermark.xid THEN '0' ELSE pg_current_xact_id() END
          FROM billing.watermark AS watermark WHERE watermark.step = 'rollup'
        """
    )
    await connection.execute("UPDATE billing.watermark SET xid = pg_current_xact_id() WHERE step = 'rollup'")
