"""Servers on the loopback that files are fetched from: SFTP, and one that speaks S3."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import boto3
import pytest
from moto.server import ThreadedMotoServer

USER, PASSWORD = "parcours", "pass"


class SftpServer:
    """An SFTP server for a folder, in a thread; it can be ended and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sftp", daemon=True)
        self._thread.start()
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"sftp://{USER}:{PASSWORD}@127.0.0.1:{self.port}"

    def start(self) -> None:
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(20)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(20)

    def close(self) -> None:
        with contextlib.suppress(OSError, asyncssh.Error):
            self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> int:
        folder, self._open = self._folder, set()
        opened = self._open

        class Login(asyncssh.SSHServer):
            def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
                opened.add(connection)

            def begin_auth(self, username: str) -> bool:
                del username
                return True

            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                return (username, password) == (USER, PASSWORD)

        def sftp(channel: asyncssh.SSHServerChannel) -> asyncssh.SFTPServer:
            return asyncssh.SFTPServer(channel, chroot=str(folder).encode())

        self._listener = await asyncssh.listen(
            "127.0.0.1", self.port, server_factory=Login, server_host_keys=[self._key], sftp_factory=sftp
        )
        return int(self._listener.get_port())

    async def _end(self) -> None:
        self._listener.close()
        for connection in self._open:
            connection.abort()
        await self._listener.wait_closed()


@contextlib.contextmanager
def s3(patch: pytest.MonkeyPatch, bucket: str) -> Iterator[str]:
    """Run a server that speaks S3, with a bucket, and yield its address; who connects finds it by the environment."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    try:
        for name, value in (
            ("AWS_ENDPOINT_URL", address),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=bucket)
        yield address
    finally:
        server.stop()
