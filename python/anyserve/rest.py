"""KServe v2 over REST: what bodies of HTTP requests and responses mean, for whoever serves HTTP in front of an agent.

The agent's own REST port uses the same code. Source of the protocol:
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md, and Triton's
binary data and generate extensions.
"""

from ._core import OutputForm, decode_generate, decode_infer, encode_generate, encode_response

__all__ = ["OutputForm", "decode_generate", "decode_infer", "encode_generate", "encode_response"]
