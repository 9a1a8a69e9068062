"""Loyalty over everybody: the daily statement, ledgers held against balances, rules applied to the past, shared devices."""
