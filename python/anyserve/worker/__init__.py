"""The worker process: loads the application and runs its handlers.

An agent starts it as ``python -m anyserve.worker TARGET``; it is of no use by hand.
"""
