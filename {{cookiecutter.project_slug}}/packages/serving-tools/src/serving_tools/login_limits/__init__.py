"""Failed logins have limits, counted in the database: README.md of this package says what they do."""
