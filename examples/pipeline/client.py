"""Has a text analyzed: asks the first worker of the pipeline.

usage: python -m examples.pipeline.client [TEXT] [--endpoint HOST:PORT]
"""

import argparse

from anyserve import Client

TEXT = "the quick brown fox jumps over the lazy dog; the dog sleeps"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("text", nargs="?", default=TEXT)
    parser.add_argument("--endpoint", default="localhost:8000")
    options = parser.parse_args()
    with Client(options.endpoint) as client:
        result = client.infer("tokenize", {"text": [options.text]}, timeout=30)
        print(f"{result['tokens'][0]} tokens")
        print(result["report"][0].decode())


if __name__ == "__main__":
    main()
