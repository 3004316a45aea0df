"""A request's way: from the server's scope through Django, and back."""
