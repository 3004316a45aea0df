"""An app whose rows move from one database to another."""
