"""`python -m gateway --fd N`: one worker, serving a socket that its parent has bound."""

import argparse
import asyncio
import gc
import logging
import signal
import socket
import sys
from functools import partial

import uvicorn
import uvloop

from catalog.database import role_arguments
from catalog.vocabulary.logs import log_json
from catalog.vocabulary.settings import InvalidSetting
from gateway.app import Gateway
from gateway.server import server_of
from gateway.settings import Settings, from_environment

log = logging.getLogger("gateway")


async def _serve(settings: Settings, listener: socket.socket) -> int:
    connect = partial(role_arguments, url=settings.database_url, socket_dir=settings.socket_dir)
    gateway = Gateway(settings, connect)
    await gateway.start()
    # What lives as long as the worker is not looked through again with every collection.
    gc.collect()
    gc.freeze()
    server = server_of(gateway)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, setattr, server, "should_exit", True)
    watch = asyncio.create_task(_stop_when_the_journal_fails(gateway, server))
    try:
        await server.serve(sockets=[listener])
    finally:
        watch.cancel()
        failed = gateway.journal.failure is not None and gateway.journal.failure.startswith("io-error")
        await gateway.stop()
    return 1 if failed else 0


async def _stop_when_the_journal_fails(gateway: Gateway, server: uvicorn.Server) -> None:
    """After its first I/O error a journal acknowledges nothing more; a new process recovers it from the disk."""
    while gateway.journal.failure is None or not gateway.journal.failure.startswith("io-error"):
        await asyncio.sleep(0.2)
    log.error("the journal failed; this worker stops", extra={"reason": gateway.journal.failure})
    server.should_exit = True


def main() -> int:
    """Serve until told to stop; 0 after a clean stop, 2 where the settings cannot be used."""
    parser = argparse.ArgumentParser(prog="gateway")
    parser.add_argument("--fd", type=int, required=True, help="the listening socket")
    arguments = parser.parse_args()
    log_json("gateway")
    try:
        settings = from_environment()
    except InvalidSetting as error:
        log.critical(str(error))
        return 2
    with socket.socket(fileno=arguments.fd) as listener:
        listener.setblocking(False)
        return uvloop.run(_serve(settings, listener))


if __name__ == "__main__":
    sys.exit(main())
