"""The demo's journeys once more, as a plain walk over the messages, one household after the other.

Slow, short, and written from `semantics.md` alone: it shares nothing with the engine or with the SQL it is held to.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

DAYS = {number: timedelta(days=number) for number in (14, 28)}


def walk(messages: Iterable[bytes]) -> tuple[Counter[tuple[str, str, str, str]], datetime]:
    """Return how often what happened where, and the time of the newest message."""
    events = [json.loads(message) for message in messages]
    for event in events:
        event["at"] = datetime.fromisoformat(event["timestamp"])
        assert event["at"].tzinfo == UTC
    now = max(event["at"] for event in events)
    statistics: Counter[tuple[str, str, str, str]] = Counter()
    for user in {event["userId"] for event in events}:
        household = Household(statistics)
        for event in events:
            if event["userId"] == user:
                household.pass_time(event["at"])
                household.take(event)
        household.pass_time(now)
    return statistics, now


class Household:
    def __init__(self, statistics):
        self.statistics = statistics
        self.traits = {}
        self.orders = []
        self.timers = []  # (due, order of making, what to do)
        self.made = 0
        self.welcomed = False
        self.waiting = None  # win-back: the step where its run waits, and its timer
        self.campaigns = {}  # campaign-follow-up: runs that wait, by campaign

    def note(self, journey, step, what, reason=""):
        self.statistics[journey, step, what, reason] += 1

    def set_timer(self, at, action):
        self.made += 1
        self.timers.append((at, self.made, action))
        return self.timers[-1]

    def pass_time(self, to):
        while self.timers:
            timer = min(self.timers, key=lambda timer: timer[:2])
            if timer[0] > to:
                return
            self.timers.remove(timer)
            timer[2](timer[0])

    def send(self, journey, step, message, *, marketing=True):
        self.note(journey, step, "arrived")
        consent = self.traits.get("consent", {}).get("email")
        address = self.traits.get("email")
        if marketing and consent is None:
            self.note(journey, step, "suppressed", "no_consent")
        elif marketing and consent == "opted_out":
            self.note(journey, step, "suppressed", "opted_out")
        elif address is None:
            self.note(journey, step, "suppressed", "no_address")
        elif "@" not in address:
            self.note(journey, step, "suppressed", "invalid_address")
        else:
            self.note(journey, step, "sent", message)
            return True
        return False

    def end(self, journey, step=None):
        if step:
            self.note(journey, step, "arrived")
        self.note(journey, "", "ended", "finished")

    def take(self, event):
        if event["type"] == "identify":
            self.traits = event["traits"]
            return
        properties = event["properties"]
        match event["event"]:
            case "Order Completed":
                self.order(event["at"], properties)
            case "Campaign Received":
                self.campaign(event["at"], properties)
            case "Coupon Redeemed":
                timer = self.campaigns.pop(properties["campaign_id"], None)
                if timer:
                    self.timers.remove(timer)
                    self.end("campaign-follow-up", "redeemed")

    def order(self, at, properties):
        self.orders.append(at)
        if self.waiting:
            step, timer = self.waiting
            self.timers.remove(timer)
            self.waiting = None
            self.end("win-back", {"quiet": "ordered", "hope": "came-back"}[step])
        self.note("win-back", "", "entered")
        self.note("win-back", "quiet", "arrived")
        self.waiting = "quiet", self.set_timer(at + DAYS[28], self.miss)
        if self.welcomed:
            self.note("welcome", "", "refused", "entered_before")
        else:
            self.welcomed = True
            self.note("welcome", "", "entered")
            self.send("welcome", "greet", "welcome")
            self.note("welcome", "two-weeks", "arrived")
            self.set_timer(at + DAYS[14], self.look_back)
        if properties["total"] >= 100:
            self.note("receipt", "", "entered")
            self.send("receipt", "receipt", "receipt", marketing=False)
            self.end("receipt")

    def miss(self, at):
        self.send("win-back", "miss", "we-miss-you")
        self.note("win-back", "hope", "arrived")
        self.waiting = "hope", self.set_timer(at + DAYS[28], self.lose)

    def lose(self, _at):
        self.waiting = None
        self.end("win-back", "lost")

    def look_back(self, at):
        self.note("welcome", "ordered-again", "arrived")
        if any(at - DAYS[14] < order <= at for order in self.orders):
            self.end("welcome", "settled")
            return
        self.note("welcome", "has-children", "arrived")
        if self.traits.get("kids_count") in {"1", "2", "3+"}:
            sent = self.send("welcome", "invite-family", "second-visit-family")
        else:
            sent = self.send("welcome", "invite", "second-visit")
        self.end("welcome", None if sent else "unreached")

    def campaign(self, at, properties):
        campaign = properties["campaign_id"]
        self.note("campaign-follow-up", "", "entered")
        self.note("campaign-follow-up", "redeems", "arrived")

        def remind(_at):
            del self.campaigns[campaign]
            self.note("campaign-follow-up", "which-campaign", "arrived")
            if properties["campaign_type"] == "Type A":
                sent = self.send("campaign-follow-up", "remind-personally", "personal-coupons-waiting")
            else:
                sent = self.send("campaign-follow-up", "remind", "coupons-waiting")
            self.end("campaign-follow-up", None if sent else "unreached")

        self.campaigns[campaign] = self.set_timer(at + DAYS[14], remind)
