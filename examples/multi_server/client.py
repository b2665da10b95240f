"""Asks one request after the other, and says each second which replicas have answered.

usage: python -m examples.multi_server.client [--api-server URL] [--seconds N]
"""

import argparse
import time
from collections import Counter

from anyserve import Client
from anyserve.errors import RequestError


def one_second(client: Client) -> Counter[str]:
    """How many answers came from each replica, and how many did not come."""
    answers: Counter[str] = Counter()
    end = time.monotonic() + 1
    while time.monotonic() < end:
        try:
            client.infer("echo", {"text": ["hello"]}, timeout=10)
        except RequestError as error:
            print(error)
            answers["failed"] += 1
        else:
            answers[client.replica_id or ""] += 1
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--api-server", default="http://localhost:8080")
    parser.add_argument("--seconds", type=int, default=10)
    options = parser.parse_args()
    with Client(api_server=options.api_server, capability={"type": "echo"}) as client:
        for second in range(1, options.seconds + 1):
            answers = sorted(one_second(client).items())
            print(f"{second:2}:", *(f"{name} {count}" for name, count in answers), sep="  ", flush=True)


if __name__ == "__main__":
    main()
