"""What tests put into generated projects: views (here), lifespans, programs, whole apps.

Files, so that linters and the type checker read them; `put_site` and `put_lifespan` copy them.
"""
