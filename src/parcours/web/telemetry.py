"""What Prometheus is told: counts since the process started, and what waits now."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from parcours.runtimes.embedded import Embedded
from parcours.web.auth import Keys

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Figures(Collector):
    def __init__(self, host: Embedded, keys: Keys) -> None:
        self._host = host
        self._keys = keys

    def collect(self) -> Iterator[Metric]:
        host = self._host
        inputs = CounterMetricFamily(
            "parcours_inputs", "Inputs that came in, by what became of them.", labels=["outcome"]
        )
        inputs.add_metric(["accepted"], host.accepted)
        inputs.add_metric(["duplicate"], host.duplicates)
        inputs.add_metric(["refused"], host.refused)
        yield inputs
        messages = CounterMetricFamily(
            "parcours_messages", "Tries to send, by what became of them.", labels=["outcome"]
        )
        messages.add_metric(["sent"], host.sent)
        messages.add_metric(["failed"], host.failed)
        messages.add_metric(["retried"], host.retried)
        yield messages
        yield CounterMetricFamily(
            "parcours_refused_outcomes",
            "Outcomes of messages that were refused by a defect, so that their journeys do not learn of them.",
            host.outbox.refused,
        )
        yield CounterMetricFamily("parcours_batches", "Transactions that carried inputs or settlements.", host.batches)
        yield CounterMetricFamily("parcours_busy_seconds", "Seconds spent folding and committing.", host.busy_seconds)
        yield CounterMetricFamily(
            "parcours_endless_chains",
            "Inputs left out, since their step made the same happen too often in one chain.",
            host.engine.cut,
        )
        yield GaugeMetricFamily("parcours_queued_inputs", "Inputs that wait to be folded.", host.queued)
        yield GaugeMetricFamily(
            "parcours_busy_messages", "Messages being sent or waiting to be retried.", host.outbox.busy
        )
        refused = CounterMetricFamily(
            "parcours_refused_requests", "Requests that were refused because of their key.", labels=["reason"]
        )
        refused.add_metric(["wrong_key"], self._keys.wrong)
        refused.add_metric(["rate_limited"], self._keys.limited)
        yield refused
        counts = host.store.counts()
        yield GaugeMetricFamily("parcours_log_records", "Records in the log.", counts["records"])
        yield GaugeMetricFamily("parcours_contacts", "Contacts.", counts["contacts"])


class Telemetry:
    """The figures of one host and of the keys it is asked with."""

    def __init__(self, host: Embedded, keys: Keys | None = None) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Figures(host, keys or Keys()))

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)
