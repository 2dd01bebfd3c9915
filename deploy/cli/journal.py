"""`ordergate journal verify`."""

import sys
from pathlib import Path
from typing import Any

import click

from billing.journal import Report, journal_directories
from billing.journal import verify as verify_journal
from billing.journal.directory import LOCK_FILE
from deploy.cli.output import json_option, print_json, working


@click.group()
def journal() -> None:
    """Usage journals on disk."""


@journal.command()
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
def verify(directory: Path, as_json: bool) -> None:
    """Check a journal, or all under DIR. Names the case of each damage; nothing is changed."""
    with working(f"verifying {directory}"):
        reports = [verify_journal(found) for found in journal_directories(directory) or [directory]]
    if reports[0].directory == directory and _is_something_else(reports[0]):
        raise click.ClickException(
            f"{directory} holds no journal. Name a journal, such as ORDERGATE_HOME/journals/worker-000, "
            "or the folder of all of them."
        )
    if as_json:
        print_json([_plain(report) for report in reports])
    else:
        for report in reports:
            _print(report)
    sys.exit(max(report.exit_code for report in reports))


def _is_something_else(report: Report) -> bool:
    """Whether a folder that holds something holds nothing of a journal: whoever mistyped its name must not read `sound`."""
    nothing = [finding.case.name for finding in report.findings] == ["empty-directory"]
    return nothing and any(report.directory.iterdir()) and not (report.directory / LOCK_FILE).exists()


def _print(report: Report) -> None:
    for finding in report.findings:
        click.echo(str(finding))
    verdict = "sound" if report.is_sound else "DAMAGED"
    click.echo(
        f"{report.directory}: {verdict}, {report.records} records in {report.segments} segments, "
        f"{report.pruned} pruned, last sequence number {report.last_seq}"
    )


def _plain(report: Report) -> dict[str, Any]:
    """The report as JSON values: paths and cases by name."""
    return {
        "directory": str(report.directory),
        "journal_id": report.journal_id,
        "sound": report.is_sound,
        "segments": report.segments,
        "records": report.records,
        "kinds": {str(kind): count for kind, count in report.kinds.items()},
        "pruned": report.pruned,
        "last_seq": report.last_seq,
        "chain": report.chain,
        "findings": [
            {
                "case": finding.case.name,
                "action": finding.case.action,
                "file": str(finding.file),
                "offset": finding.offset,
                "detail": finding.detail,
                "remedy": finding.case.remedy,
            }
            for finding in report.findings
        ],
    }
