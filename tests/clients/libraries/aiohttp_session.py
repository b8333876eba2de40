"""Views the page three times with aiohttp, and prints the counts."""

import asyncio
import ssl
import sys

import aiohttp


async def main():
    # Without `unsafe`, aiohttp keeps no cookies of IP addresses; the host here has a name.
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context())
    headers = {"Accept": "application/json"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        for _ in range(3):
            async with session.get(sys.argv[1]) as response:
                print((await response.json())["views"])


asyncio.run(main())
