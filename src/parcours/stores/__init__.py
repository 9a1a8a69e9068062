"""Where the log and the state live. Each store passes `parcours.testing.StoreConformance`."""
