"""What a start does about the demo: opens the group and bills its history once, and finds the key that it shows.

A start may be killed anywhere. Accounts, keys and the note that the group is open are one transaction. The journal is
complete or absent. The flow and the closes go on where they stopped, and only then is the history noted as billed.
"""

from contextlib import AbstractContextManager

import asyncpg

from billing.store.connection import billing_pool
from catalog.vocabulary.clock import Clock, from_ns
from deploy.database import Database
from deploy.demo.books import keep_books
from deploy.demo.keys import live_key, write_keys
from deploy.demo.group import demo_group
from deploy.demo.months import Months, closing_time, months_at
from deploy.demo.opening import ACTOR, open_group
from deploy.demo.record import demo_journal, record
from deploy.demo.state import State, note, read_state
from deploy.demo.usage import history, read_callers, read_operations
from deploy.home import Home
from deploy.roles import BILLING, GATEWAY
from gateway.stores.peppers import load_peppers
