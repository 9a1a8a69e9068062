"""The API: what a secret key may ask and say. Each module has the controller of one subject."""

from __future__ import annotations

from litestar import Controller

from parcours.web.api.analytics import AnalyticsApi
from parcours.web.api.backtests import BacktestsApi, SimulationsApi
from parcours.web.api.budgets import BudgetsApi
from parcours.web.api.catalogues import CataloguesApi
from parcours.web.api.conditions import ConditionsApi
from parcours.web.api.contact_consent import ContactConsentApi
from parcours.web.api.contact_export import ContactExportApi
from parcours.web.api.contacts import ContactsApi
from parcours.web.api.definitions import DefinitionsApi, WordsApi
from parcours.web.api.dump import DumpApi
from parcours.web.api.explain import ExplainApi, ExplainRulesApi
from parcours.web.api.imports import ImportsApi
from parcours.web.api.interactions import ContactAttributesApi, InteractionsApi
from parcours.web.api.journeys import JourneysApi
from parcours.web.api.keys import KeysApi
from parcours.web.api.ledger_checks import LedgerChecksApi
from parcours.web.api.lists import ListsApi
from parcours.web.api.lives import LivesApi
from parcours.web.api.loyalty import LoyaltyApi
from parcours.web.api.messages import MessagesApi
from parcours.web.api.packs import PacksApi
from parcours.web.api.report import ReportApi
from parcours.web.api.retroactive import RetroactiveApi
from parcours.web.api.reviews import ReviewsApi
from parcours.web.api.rewards import RewardsApi
from parcours.web.api.secrets import SecretsApi
from parcours.web.api.segments import SegmentsApi
from parcours.web.api.sharing import SharingApi

CONTROLLERS: list[type[Controller]] = [
    DefinitionsApi,
    WordsApi,
    ConditionsApi,
    MessagesApi,
    PacksApi,
    ReportApi,
    ContactsApi,
    ContactConsentApi,
    ContactExportApi,
    ContactAttributesApi,
    ListsApi,
    LoyaltyApi,
    BudgetsApi,
    LedgerChecksApi,
    ReviewsApi,
    RetroactiveApi,
    RewardsApi,
    SharingApi,
    SegmentsApi,
    AnalyticsApi,
    BacktestsApi,
    SimulationsApi,
    ExplainApi,
    ExplainRulesApi,
    CataloguesApi,
    InteractionsApi,
    JourneysApi,
    LivesApi,
    KeysApi,
    SecretsApi,
    ImportsApi,
    DumpApi,
]
