"""What was accepted and what was made usage of, against each other: the check of `reconcile` and of `rebuild --verify`."""

# Each accepted result amends its call by its value, once, and under an outcome price nothing else amends a call.
RESULT_FAULT = """
    SELECT coalesce('result ' || replace(accepted.result_id::text, '-', '') || ': accepted at ' || accepted.value
                    || ', its usage says ' || coalesce(amended.units::text, 'nothing'),
                    'usage ' || replace(amended.id::text, '-', '') || ': ' || amended.units
                    || ' units of a result that nobody accepted'),
           abs(coalesce(accepted.value, 0) - coalesce(amended.units, 0)) AS apart
    FROM (SELECT * FROM billing.result_step WHERE kind = 'accepted' AND environment = $1) AS accepted
    FULL JOIN (
        SELECT event.id, event.amends, event.units, event.account_id, event.operation, event.subscription_id, event.price_version
        FROM billing.usage_event AS event JOIN catalog.price_version AS price ON price.id = event.price_version
        WHERE event.amends IS NOT NULL AND price.model = 'outcome' AND event.environment = $1) AS amended
      ON (amended.id, amended.amends, amended.account_id, amended.operation, amended.subscription_id, amended.price_version)
       = (accepted.amendment_id, accepted.call_id, accepted.account_id, accepted.operation, accepted.subscription_id,
          accepted.price_version)
    WHERE accepted.value IS DISTINCT FROM amended.units
    ORDER BY 1
"""
