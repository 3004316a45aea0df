"""How the server is started: its flags, its addresses, and what it must not be started with."""
