import threading
import warnings


def now() -> None:
    thread = threading.Thread(target=lambda: warnings.warn("old", stacklevel=1))
    thread.start()
    thread.join()
