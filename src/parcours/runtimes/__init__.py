"""The hosts of the fold: the engine (prefetch, fold, commit), and what drives it, live or on a virtual clock."""
