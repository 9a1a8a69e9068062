"""The API: what a secret key may ask and say. Each module has the controller of one subject."""

from __future__ import annotations

from litestar import Controller

from parcours.web.api.contacts import ContactsApi
from parcours.web.api.definitions import DefinitionsApi
from parcours.web.api.report import ReportApi

CONTROLLERS: list[type[Controller]] = [DefinitionsApi, ReportApi, ContactsApi]
