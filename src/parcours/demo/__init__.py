"""The demo: a year of a real shop's purchases goes through the service, and every count is checked by SQL."""
