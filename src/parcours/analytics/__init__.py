"""Questions about all contacts at once, asked of columns."""
