"""The page at ``/``: what is known of the fleet while somebody looks."""

from .collector import Collector

__all__ = ["Collector"]
