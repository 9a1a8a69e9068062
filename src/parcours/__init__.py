"""parcours: an open, self-hosted engine for real-time customer journeys."""

__version__ = "0.1.0"
