"""What a till waits for: a coupon that is checked, and one that is redeemed, over HTTP.

    PYTHONPATH=src python -m benchmarks.coupons --coupons 20000 --times 3000

So many coupons are issued first. Then a service of its own is asked, one request after the other over one connection,
as by a till: by itself, and while batches of interactions of others come in.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.service import SECRET, WRITE, Service, post_all, request_of, service
from parcours.core.gate import Arrival, Asked
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.engine import Engine
from parcours.stores.sqlite import SqliteStore

BATCH = 1_000
REWARD = {"kind": "reward", "name": "ten", "percent": 10, "minimum": 20, "valid_for": "30d"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--coupons", type=int, default=20_000)
    parser.add_argument("--times", type=int, default=3_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        owners = issued(data / "parcours.db", given.coupons)
        codes = sorted(owners)
        random.Random(1).shuffle(codes)
        with service(data) as running:
            ask(running, "check", codes[:200], owners)
            told("check", ask(running, "check", codes[: given.times], owners))
            stop = threading.Event()
            others = threading.Thread(target=busy, args=(running, stop))
            others.start()
            time.sleep(0.5)
            told("check, busy", ask(running, "check", codes[: given.times], owners))
            stop.set()
            others.join()
            told("redeem", ask(running, "redeem", codes[: given.times], owners))


def issued(path: Path, count: int) -> dict[str, str]:
    """Issue so many coupons, one a contact; return whose each is."""
    engine = Engine(SqliteStore(path), SystemClock())
    errors, _ = engine.publish([REWARD])
    assert not errors, errors
    asked = Asked(action="issue", reward="ten")
    start = time.perf_counter()
    for first in range(0, count, BATCH):
        numbers = range(first, min(count, first + BATCH))
        engine.accept([Arrival("bench", f"i{number}", (("user_id", f"u{number}"),), asked) for number in numbers])
    print(f"issued {count:,} in {time.perf_counter() - start:.1f} s")
    owners = {
        code: dict(contact.identities)["user_id"]
        for contact in engine.store.scan(limit=10**9)
        for code in contact.coupons
    }
    assert len(owners) == count
    engine.flush()
    engine.store.close()
    return owners


def ask(running: Service, action: str, codes: list[str], owners: dict[str, str]) -> list[float]:
    """Ask something of coupons, one after the other; return the milliseconds of each."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    head = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
    spent = []
    for code in codes:
        body = json.dumps({"code": code, "contact": f"user_id:{owners[code]}", "basket": 45.9, "order": f"o-{code}"})
        start = time.perf_counter()
        connection.request("POST", f"/v1/loyalty/coupons/{action}", body, head)
        answer = connection.getresponse()
        said: dict[str, Any] = json.load(answer)
        spent.append((time.perf_counter() - start) * 1_000)
        assert answer.status == 200, said
        assert not said["reason"], said
    connection.close()
    return spent


def busy(running: Service, stop: threading.Event) -> None:
    """Send batches of a hundred interactions, one after the other, until it is enough."""
    assert WRITE
    number = 0
    while not stop.is_set():
        batch = [
            {
                "type": "track",
                "userId": f"u{number % 5_000}",
                "event": "Seen",
                "messageId": f"b{(number := number + 1)}",
            }
            for _ in range(100)
        ]
        post_all(running.port, [request_of("/v1/batch", json.dumps({"batch": batch}).encode())], 1)
    print(f"  meanwhile {number:,} interactions came in")


def told(name: str, spent: list[float]) -> None:
    """Print what was measured."""
    cuts = statistics.quantiles(spent, n=1_000)
    print(
        f"{name:12} median {cuts[499]:.2f} ms, p99 {cuts[989]:.2f} ms, worst {max(spent):.1f} ms, {len(spent):,} times"
    )


if __name__ == "__main__":
    main()
