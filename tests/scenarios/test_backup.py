"""Backup and restore: what stands up again knows every account, every key and every call, shipped or not."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from catalog.vocabulary.clock import SystemClock, from_ns
from deploy.cli import main
from deploy.embedded_postgres import EmbeddedPostgres
from deploy.home import Home
from deploy.migrate import migrate
from deploy.database import Database
from deploy.cli.session import Session
from tests.databases import memory_folder
from tests.usage_calls import append_events, open_journal, usage_event

PROJECT = Path(__file__).parents[2]
