"""Sends requests at a rate, whether or not earlier ones were answered; prints the 99th percentile in ms.

    python -m benchmarks.open_loop ADDRESS RATE SECONDS

A request's time counts from when it was due, so a server that stalls can't hide it.
"""

import asyncio
import re
import sys
from urllib.parse import urlsplit


class Connection(asyncio.Protocol):
    """Sends one request at a time, and notes when its answer has come."""

    def __init__(self, free: list["Connection"], times: list[float]) -> None:
        self.free = free
        self.times = times
        self.due = 0.0
        self.read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.read += data
        head, ends, body = self.read.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if ends and length and len(body) >= int(length[1]):
            self.times.append(asyncio.get_running_loop().time() - self.due)
            self.free.append(self)

    def ask(self, request: bytes, due: float) -> None:
        self.due = due
        self.read = b""
        self.transport.write(request)


async def main(address: str, rate: float, seconds: float) -> float:
    loop = asyncio.get_running_loop()
    url = urlsplit(address)
    request = f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode()
    free: list[Connection] = []
    times: list[float] = []

    async def connect() -> Connection:
        _, made = await loop.create_connection(
            lambda: Connection(free, times), url.hostname or "", url.port or 80
        )
        return made

    free += [await connect() for _ in range(64)]
    started = loop.time()
    sent = 0
    while (now := loop.time()) < started + seconds:
        while started + sent / rate <= now:
            connection = free.pop() if free else await connect()
            connection.ask(request, started + sent / rate)
            sent += 1
        await asyncio.sleep(0)
    while len(times) < sent:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    times.sort()
    return times[int(len(times) * 0.99)] * 1000


if __name__ == "__main__":
    print(asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))))
