"""Prints what comes, as it comes.

usage: python -m examples.streaming.client [PROMPT] [--model chat|typewriter] [--endpoint HOST:PORT]
"""

import argparse
import asyncio
from collections.abc import AsyncIterator

from anyserve import AsyncClient, Client


def one(endpoint: str, model: str, prompt: str) -> None:
    """The words of one answer."""
    with Client(endpoint) as client:
        for result in client.stream(model, {"text": [prompt]}, parameters={"max_tokens": 20}, timeout=30):
            print(result["text"][0].decode(), end=" ", flush=True)
    print()


async def three(endpoint: str, model: str, prompt: str) -> None:
    """Three answers at once; each line has the words that came together."""
    async with AsyncClient(endpoint) as client:
        answers = [words(client, model, prompt, seed) for seed in range(3)]
        while line := [word for word in await asyncio.gather(*(anext(answer, "") for answer in answers)) if word]:
            print("   ".join(f"{word:12}" for word in line))


async def words(client: AsyncClient, model: str, prompt: str, seed: int) -> AsyncIterator[str]:
    async with client.stream(model, {"text": [prompt]}, parameters={"max_tokens": 5, "seed": seed}) as results:
        async for result in results:
            yield result["text"][0].decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("prompt", nargs="?", default="Beautiful is")
    parser.add_argument("--model", default="typewriter")
    parser.add_argument("--endpoint", default="localhost:8000")
    options = parser.parse_args()
    one(options.endpoint, options.model, options.prompt)
    asyncio.run(three(options.endpoint, options.model, options.prompt))


if __name__ == "__main__":
    main()
