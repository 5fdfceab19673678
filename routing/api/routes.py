"""Which view answers which path of the data plane."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpResponseBase

from orchestrators.core.remembered import if_short
from routing.api.inference import (
    CapabilitiesView,
    CapabilityView,
    DataPlaneView,
    ProcessRequestView,
    ProcessStreamView,
)
from routing.api.jobs import JobView, ResultView
from routing.api.pipelines import PATHS as PIPELINE_PATHS
from routing.api.pipelines import PipelineView
from routing.api.problems import refuse
from routing.api.status import PATHS as STATUS_PATHS
from routing.api.usage import UsageView
from routing.core.refusal import Code

Route = tuple[type[DataPlaneView], dict[str, Any]]
PREFIXES = ("/v1/capabilities", "/v1/jobs", "/v1/usage", "/process/")
_CAPABILITY = re.compile(rb"/v1/capabilities/([^/]+)(?:/(.*))?", re.DOTALL)
_JOB = re.compile(rb"/v1/jobs/([0-9A-Za-z-]{1,40})(/result)?/?")


def is_data_plane(path: str) -> bool:
    return path.startswith(PREFIXES) or path in STATUS_PATHS or path[1:] in PIPELINE_PATHS


class NothingHere(DataPlaneView):
    http_method_names = ["get", "post", "put", "patch", "delete"]

    def post(self) -> HttpResponseBase:
        raise refuse(Code.NOT_FOUND, "There is nothing at this path.")

    get = put = patch = delete = post


@if_short(1024)
def resolve(raw_path: bytes) -> Route:
    """The view of an undecoded path. The worker path stays as the client wrote it (%2F is not a slash)."""
    raw_path = raw_path.partition(b"?")[0]
    if match := _CAPABILITY.fullmatch(raw_path):
        return CapabilityView, {"slug": match[1].decode("ascii", "replace"), "path": match[2] or b""}
    if raw_path.startswith(b"/process/request/") or raw_path == b"/process/request":
        return ProcessRequestView, {"path": raw_path[len(b"/process/request/") :]}
    if raw_path.startswith(b"/process/stream"):
        return ProcessStreamView, {}
    if raw_path in (b"/v1/capabilities", b"/v1/capabilities/"):
        return CapabilitiesView, {}
    if match := _JOB.fullmatch(raw_path):
        return ResultView if match[2] else JobView, {"request_id": match[1].decode()}
    if raw_path in (b"/v1/usage", b"/v1/usage/"):
        return UsageView, {}
    pipeline = raw_path[1:].decode("ascii", "replace")
    if pipeline in PIPELINE_PATHS:
        return PipelineView, {"path": pipeline}
    return NothingHere, {}
