from collections.abc import Iterator

import pytest

from tests.doors.payloads import SECRETS, SHOP
from tests.service import Service

STRICT = {
    "kind": "interaction", "name": "Strict", "strict": True,
    "attributes": {"n": {"type": "number", "required": True}},
}  # fmt: skip


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One real service for all tests of this folder; each uses contacts and ids of its own."""
    data = tmp_path_factory.mktemp("doors") / "data"
    (data / "webhooks").mkdir(parents=True)
    (data / "webhooks" / "shop.yaml").write_text(SHOP)
    variables = {
        f"PARCOURS_WEBHOOK_{name.upper().replace('-', '_')}_SECRET": secret for name, secret in SECRETS.items()
    }
    with Service(data, "--largest-body", str(2**20), variables=variables) as running:
        assert running.publish(STRICT).status == 200
        yield running
        assert running.process.poll() is None, "the service must outlive everything that is sent to it"
    errors = running.errors.read_text()
    assert "Traceback" not in errors, errors[-5_000:]
    assert '"level": "error"' not in errors, errors[-5_000:]
