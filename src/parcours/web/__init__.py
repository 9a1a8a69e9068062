"""The HTTP door: what comes in (`ingest`), what can be asked and said (`api`), and who may (`auth`)."""
