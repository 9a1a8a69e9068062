"""Drafts of journeys and rules over the recorded past: nothing is sent, and a virtual clock moves with the records."""
