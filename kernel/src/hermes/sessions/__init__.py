"""The embedded session store: SQLite, with a full-text index in a file of its own."""
