from collections.abc import Iterator

import pytest

from tests.service import Service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One real service for all tests of this folder; each uses contacts and names of its own."""
    with Service(tmp_path_factory.mktemp("web") / "data", "--largest-body", str(2**20)) as running:
        yield running
        assert running.process.poll() is None, "the service must outlive everything that is sent to it"
    errors = running.errors.read_text()
    assert "Traceback" not in errors, errors[-5_000:]
    assert '"level": "error"' not in errors, errors[-5_000:]
