"""The `ordergate` command: one file for each group of commands."""

import click

from deploy.cli.group import LazyGroup

# A new command is registered here; it is loaded when it is used.
_COMMANDS = {
    "up": "deploy.cli.up:up",
    "publish": "deploy.cli.publish:publish",
    "review": "deploy.cli.review:review",
    "services": "deploy.cli.services:services",
    "account": "deploy.cli.account:account",
    "application": "deploy.cli.application:application",
    "cost-centre": "deploy.cli.application:cost_centre",
    "key": "deploy.cli.key:key",
    "user": "deploy.cli.user:user",
    "call": "deploy.cli.call:call",
    "usage": "deploy.cli.usage:usage",
    "grant": "deploy.cli.allowances:grant",
    "credit": "deploy.cli.allowances:credit",
    "budget": "deploy.cli.allowances:budget",
    "leases": "deploy.cli.leases:leases",
    "sla": "deploy.cli.sla:sla",
    "outcome": "deploy.cli.sla:outcome",
    "result": "deploy.cli.result:result",
    "maintenance": "deploy.cli.sla:maintenance",
    "rate": "deploy.cli.rate:rate",
    "simulate-price": "deploy.cli.simulate:simulate_price",
    "close": "deploy.cli.close:close",
    "approve": "deploy.cli.approve:approve",
    "tax": "deploy.cli.terms:tax",
    "clock": "deploy.cli.clock:clock",
    "statement": "deploy.cli.documents:statement",
    "credit-note": "deploy.cli.documents:credit_note",
    "seller": "deploy.cli.seller:seller",
    "payments": "deploy.cli.payments:payments",
    "chargeback": "deploy.cli.settlement:chargeback",
    "margin": "deploy.cli.settlement:margin",
    "revenue": "deploy.cli.settlement:revenue",
    "close-calendar": "deploy.cli.settlement:close_calendar",
    "dispute": "deploy.cli.dispute:dispute",
    "focus": "deploy.cli.focus:focus",
    "reconcile": "deploy.cli.books:reconcile",
    "rebuild": "deploy.cli.books:rebuild",
    "journal": "deploy.cli.journal:journal",
    "backup": "deploy.cli.backup:backup",
    "restore": "deploy.cli.backup:restore",
    "doctor": "deploy.cli.doctor:doctor",
    "demo": "deploy.cli.demo:demo",
}


@click.group(cls=LazyGroup, places=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ordergate")
def main() -> None:
    """Order operations as metered services: run, publish, call, bill and check them.

    Commands find the installation through ORDERGATE_HOME (default .ordergate) or ORDERGATE_DATABASE_URL.
    """
