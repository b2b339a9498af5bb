"""A Redis of its own for each test, which the test may stop and start again."""

import shutil
import subprocess
import tempfile
import time

import pytest
import redis


class RestartableRedis:
    """A Redis that can be stopped and started; each start begins without data."""

    def __init__(self, folder):
        self._socket = f"{folder}/redis"
        self.url = f"unix://{self._socket}"
        self._process = None

    def start(self):
        binary = shutil.which("redis-server")
        if binary is None:
            pytest.fail("redis-server is missing; tests/install-servers installs it")
        self._process = subprocess.Popen(
            [binary, "--port", "0", "--unixsocket", self._socket, "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                with redis.Redis.from_url(self.url) as client:
                    client.ping()
            except redis.ConnectionError:
                time.sleep(0.01)
            else:
                return
        pytest.fail("redis-server did not start")

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def restartable_redis():
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        instance = RestartableRedis(folder)
        instance.start()
        yield instance
        instance.stop()
