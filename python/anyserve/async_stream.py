"""What an async handler sends its responses to."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ._core import ModelInferResponse

__all__ = ["AsyncStream"]


class AsyncStream:
    """The responses of one request, for an ``async def`` handler declared with ``stream=True``."""

    def __init__(self, send: Callable[[ModelInferResponse], Awaitable[None]], close: Callable[[], None]) -> None:
        self._send = send
        self._close = close

    async def send(self, response: ModelInferResponse) -> None:
        """Sends one response. Waits while the client is too far behind.

        Raises:
            CancelledError: (of anyserve.errors) Nobody waits for the stream any longer.
            ResourceExhaustedError: The client has taken nothing for too long (``--stream-stall-timeout``).
            RuntimeError: The stream is closed.
            ValueError: The response is not well formed, or over the limit.
        """
        await self._send(response)

    def close(self) -> None:
        """Ends the stream before the handler returns; nothing can be sent afterwards."""
        self._close()
