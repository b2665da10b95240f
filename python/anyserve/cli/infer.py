"""``anyserve infer``: send one request from a shell."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..client import Client, InferResult
from ..errors import InvalidArgumentError
from .sizes import port, seconds

__all__ = ["add_to"]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser(
        "infer",
        help="send one request and print its outputs",
        description="Send one request and print its outputs, a line each. A value is JSON where it can be "
        "(1, [1.5, 2], [[1, 2], [3, 4]]), and text otherwise.",
    )
    parser.add_argument("model", help="model name: the capability {model: NAME} if there is one, else {type: NAME}")
    parser.add_argument("inputs", nargs="*", metavar="NAME=VALUE", type=_pair, help="an input tensor")
    parser.add_argument("--host", help="of the server (default: localhost)")
    parser.add_argument("--port", type=port, help="of the server (default: 8000)")
    parser.add_argument(
        "--api-server", metavar="URL", help="send it to a replica that this API server (http://HOST:PORT) knows"
    )
    parser.add_argument("--registry", metavar="URL", help="the same with the registry itself (etcd://HOST:PORT)")
    parser.add_argument(
        "--capability",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        type=_pair,
        help="what is wanted, instead of the model name",
    )
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", type=_pair, help="a request parameter"
    )
    parser.add_argument("--stream", action="store_true", help="print any number of responses, as they come")
    parser.add_argument("--timeout", type=seconds, default=60.0, metavar="SECONDS", help="(default: %(default)g)")
    parser.set_defaults(main=main, take_rest=_take_inputs)


def main(options: argparse.Namespace) -> int:
    """Sends the request."""
    inputs = {name: _tensor(text) for name, text in options.inputs}
    parameters = {name: _json(text) for name, text in options.parameter}
    with _client(options) as client:
        ask = client.stream if options.stream else client.infer
        try:
            answer = ask(
                options.model,
                inputs,
                capability=dict(options.capability) or None,
                timeout=options.timeout,
                parameters=parameters,
            )
        except (TypeError, ValueError) as error:
            # What was typed cannot be sent.
            raise InvalidArgumentError(str(error)) from None
        for result in [answer] if isinstance(answer, InferResult) else answer:
            for output in result.response.outputs:
                shape, value = list(output.shape), _show(result[output.name])
                print(f"{output.name} {output.datatype} {shape}: {value}", flush=True)
    return 0


def _client(options: argparse.Namespace) -> Client:
    direct = options.host is not None or options.port is not None
    try:
        if options.api_server is None and options.registry is None:
            return Client(f"{options.host or 'localhost'}:{options.port or 8000}")
        if direct:
            raise ValueError("--host and --port name a server; --api-server and --registry find one: give either")
        return Client(api_server=options.api_server, registry=options.registry)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _take_inputs(options: argparse.Namespace, rest: list[str]) -> bool:
    """Takes the inputs that argparse leaves over when an option stands between the model and them."""
    if any(word.startswith("-") for word in rest):
        return False
    options.inputs = [*options.inputs, *map(_pair, rest)]
    return True


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _tensor(text: str) -> Any:
    value = _json(text)
    # What has no datatype in a tensor (null, an object) is the text that was typed.
    return text if value is None or isinstance(value, dict) else value


def _show(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_show(item) for item in value) + "]"
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace")
    if hasattr(value, "tolist"):
        return str(value.tolist())
    return str(value)
