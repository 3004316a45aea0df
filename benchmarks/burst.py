"""Sends so many requests at once, and prints the seconds until the last answer.

python -m benchmarks.burst ADDRESS NUMBER
"""

import asyncio
import sys
from urllib.parse import urlsplit


async def main(address: str, number: int) -> float:
    url = urlsplit(address)
    request = f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode()
    streams = [await asyncio.open_connection(url.hostname, url.port) for _ in range(number)]

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request)
        answer = await reader.read()
        assert b" 200 " in answer.partition(b"\r\n")[0], answer
        writer.close()

    loop = asyncio.get_running_loop()
    started = loop.time()
    await asyncio.gather(*(ask(*stream) for stream in streams))
    return loop.time() - started


if __name__ == "__main__":
    print(asyncio.run(main(sys.argv[1], int(sys.argv[2]))))
