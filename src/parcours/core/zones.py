"""In which time zone a contact lives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from parcours.core.compiled import CompiledJourney
from parcours.core.contact import Contact
from parcours.core.plan import Plan
from parcours.definitions.zones import TIMEZONE, zone_of

_UTC = ZoneInfo("UTC")


def zone_for(plan: Plan, contact: Contact, journey: CompiledJourney | None = None) -> ZoneInfo:
    """Return the time zone that is meant: the contact's own, else the journey's, else the workspace's, else UTC."""
    return zone_among(plan, contact.attributes, journey)


def zone_among(plan: Plan, attributes: Mapping[str, Any], journey: CompiledJourney | None = None) -> ZoneInfo:
    """Return the same for somebody of whom the attributes are known."""
    own = attributes.get(TIMEZONE)
    found = zone_of(own) if isinstance(own, str) else None
    if found is None and journey is not None and journey.definition.zone:
        found = zone_of(journey.definition.zone)
    if found is None and plan.workspace.settings.zone:
        found = zone_of(plan.workspace.settings.zone)
    return found or _UTC
