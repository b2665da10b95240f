"""Asks the three models in turn, with some of each at all times, and shows which of them has the slot.

python -m examples.switching.load [--port 8000] [--seconds 24]
"""

import argparse
import asyncio
import random
import time

from anyserve import AsyncClient

MODELS = ["zen", "lawyer", "teacher"]
SECONDS_EACH = 4
"""How long one of them is asked for most."""


async def ask(client: AsyncClient, model: str) -> tuple[str, float]:
    """Asks a model; returns how many milliseconds its answer took."""
    started = time.monotonic()
    await client.infer(model, {"text": ["What is the "]}, timeout=60)
    return model, (time.monotonic() - started) * 1000


async def show(second: int, favourite: str, answers: list[asyncio.Task[tuple[str, float]]]) -> None:
    """Shows how many of the requests of one second were for each model, and how long they took at most."""
    times: dict[str, list[float]] = {model: [] for model in MODELS}
    for model, took in await asyncio.gather(*answers):
        times[model].append(took)
    cells = [f"{len(took)} in {max(took):.0f} ms" if took else "" for took in times.values()]
    print(f"{second:>6}  {favourite:<14}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


async def load(port: int, seconds: int) -> None:
    dice = random.Random(1)
    print(f"{'second':>6}  {'asked for most':<14}" + "".join(f"{model:>18}" for model in MODELS))
    async with AsyncClient(f"localhost:{port}") as client:
        rows = []
        for second in range(seconds):
            favourite = MODELS[second // SECONDS_EACH % len(MODELS)]
            answers = []
            for _ in range(20):
                # One in twenty may be for another model.
                model = favourite if dice.random() < 0.95 else dice.choice(MODELS)
                answers.append(asyncio.create_task(ask(client, model)))
                await asyncio.sleep(0.05)
            rows.append(asyncio.create_task(show(second + 1, favourite, answers)))
        await asyncio.gather(*rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask three models that take turns.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--seconds", type=int, default=24)
    options = parser.parse_args()
    asyncio.run(load(options.port, options.seconds))


if __name__ == "__main__":
    main()
