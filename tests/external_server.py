"""A PostgreSQL server as a hosting provider would give it: TCP, a password, and a user who is not a superuser."""

import asyncio
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import asyncpg

from deploy.embedded_postgres.binaries import find_binaries
from deploy.embedded_postgres.run_as import decide
from tests.faults.product import free_port

USER, PASSWORD = "shop", "s3cret/@:%"
_ADMIN, _ADMIN_PASSWORD = "provider", "known to the provider"


class ExternalServer:
    """A server in a folder of its own on a loopback port; every connection is authenticated with SCRAM-SHA-256."""

    def __init__(self, binaries: Path | None = None) -> None:
        """`binaries` are those of another PostgreSQL than the one that the product carries."""
        self._binaries = binaries or find_binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="ordergate-external-"))
        self._folder.chmod(0o711)
        self._run_as = decide(self._binaries, self._folder, "")
        self._server: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    def start(self) -> None:
        """Make the cluster and serve it; the product's user may create roles and databases."""
        owned = self._folder / "cluster"
        owned.mkdir(mode=0o700)
        password = owned.parent / "password"
        password.write_text(_ADMIN_PASSWORD)
        shutil.chown(owned, self._run_as.owner_uid, self._run_as.owner_gid)
        data = owned / "data"
        subprocess.run(
            self._run_as.execute(
                self._binaries / "initdb",
                f"--pgdata={data}",
                f"--username={_ADMIN}",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ),
            check=True,
            capture_output=True,
            cwd=self._folder,
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "60",
            "fsync": "off",
            "shared_buffers": "32MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._server = subprocess.Popen(
            self._run_as.execute(self._binaries / "postgres", "-D", str(data), *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            start_new_session=True,
        )
        asyncio.run(self._admit())

    def url(self, database: str) -> str:
        """The address for ORDERGATE_DATABASE_URL; characters of the password that an address reserves are escaped."""
        return f"postgresql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    def remove(self) -> None:
        """Stop and delete everything."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(30)
        shutil.rmtree(self._folder)

    async def _admit(self) -> None:
        for _ in range(200):
            try:
                admin = await asyncpg.connect(
                    host="127.0.0.1",
                    port=self.port,
                    user=_ADMIN,
                    password=_ADMIN_PASSWORD,
                    database="postgres",
                )
                break
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(0.05)
        else:
            raise AssertionError("the server does not take connections")
        try:
            await admin.execute(
                f"CREATE ROLE {USER} LOGIN NOSUPERUSER CREATEROLE CREATEDB PASSWORD '{PASSWORD}'"
            )
        finally:
            await admin.close()
        for database in ("orders", "restored"):
            await self.create(database)

    async def create(self, database: str) -> None:
        """A database made by the product's user, who owns it."""
        owner = await asyncpg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, database="postgres"
        )
        try:
            await owner.execute(f"CREATE DATABASE {database}")
        finally:
            await owner.close()
