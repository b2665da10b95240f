"""Capabilities with odd values."""

from __future__ import annotations

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse

app = AnyServe()
alike = AnyServe()

ODD = ['quo"te', "back\\slash", "new\nline", "ünï\u2028cödé 漢字 🦀", "{brace: a, b}", "a=b,c", "\\n", " ", ""]
"""Values that mean something in Prometheus text, or look odd in it."""

ALIKE = [{"value": "new\nline"}, {"value": "new\\nline"}, {"value": "a, with: b"}, {"value": "a", "with": "b"}]
"""Capabilities that are not the same, but may look so."""


def nothing(request: ModelInferRequest) -> ModelInferResponse:
    return ModelInferResponse()


for odd in ODD:
    app.capability(type="odd", value=odd)(nothing)

for pairs in ALIKE:
    alike.capability(capability=pairs)(nothing)
