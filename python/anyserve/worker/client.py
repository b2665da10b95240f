"""The clients, under the name by which handlers' code may know them."""

from ..client import AsyncClient, Client, InferResult

__all__ = ["AsyncClient", "Client", "InferResult"]
