"""Names the modules of an image that are not compiled, and counts the sources of its translations.

GeoDjango may be uncompiled: it needs libraries that the image has not.
"""

import importlib.util
import struct
from pathlib import Path

for root in ("/app", "/opt/venv/lib"):
    for source in Path(root).rglob("*.py"):
        if "django/contrib/gis/" in source.as_posix():
            continue
        cache = Path(importlib.util.cache_from_source(str(source)))
        if not cache.exists():
            try:
                compile(source.read_bytes(), source, "exec")
                print("not compiled:", source)
            except SyntaxError:
                pass  # a template that a package carries
        elif struct.unpack("<4sLLL", cache.read_bytes()[:16])[2] != int(source.stat().st_mtime):
            print("out of date:", source)
print(len(list(Path("/opt/venv").rglob("*.po"))))
