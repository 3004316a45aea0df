"""Sets what Granian's main thread waits for, from a handler of signals, as often as it can."""

import signal
from types import SimpleNamespace

from serving.__main__ import Interrupt

server = SimpleNamespace(interrupt_signal=False)
interrupt = Interrupt(server)
signal.signal(signal.SIGALRM, lambda *_: interrupt.set())
signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
for _ in range(5_000):
    interrupt.wait()
    interrupt.clear()
signal.setitimer(signal.ITIMER_REAL, 0)
server.interrupt_signal = True
interrupt.clear()
interrupt.wait()
print("an order to stop is not cleared")
