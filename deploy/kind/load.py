"""The quickstart's load: requests to one address, their rate going up and down like a day in minutes."""

import argparse
import asyncio
import math
import time

import aiohttp

TIMEOUT_S = 5.0
MOST_AT_ONCE = 500


def rate_at(seconds: float, low: float, high: float, period_s: float) -> float:
    """Requests/s at this time: `low` at the start of each period, `high` in its middle."""
    return low + (high - low) * (1 - math.cos(2 * math.pi * seconds / period_s)) / 2


async def play(url: str, low: float, high: float, period_s: float, until_s: float) -> None:
    """Send requests at that rate for so many seconds; one that fails or is late is no trouble here."""
    limits = aiohttp.TCPConnector(limit=MOST_AT_ONCE, force_close=True)  # each request finds the ready pods anew
    async with aiohttp.ClientSession(connector=limits, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
        tasks: set[asyncio.Task[None]] = set()
        began_s = next_s = time.monotonic()
        while (now_s := time.monotonic()) - began_s < until_s:
            if len(tasks) < MOST_AT_ONCE:
                task = asyncio.create_task(_ask(session, url))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            next_s = max(now_s - 1.0, next_s) + 1 / rate_at(now_s - began_s, low, high, period_s)
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))
        await asyncio.gather(*tasks)


async def _ask(session: aiohttp.ClientSession, url: str) -> None:
    try:
        async with session.get(url) as response:
            await response.read()
    except (aiohttp.ClientError, TimeoutError):
        return


def main() -> None:
    """Play until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--low", type=float, default=10.0, help="requests/s")
    parser.add_argument("--high", type=float, default=120.0, help="requests/s")
    parser.add_argument("--period-minutes", type=float, default=10.0)
    parser.add_argument("--minutes", type=float, default=math.inf)
    wishes = parser.parse_args()
    asyncio.run(play(wishes.url, wishes.low, wishes.high, 60 * wishes.period_minutes, 60 * wishes.minutes))


if __name__ == "__main__":
    main()
