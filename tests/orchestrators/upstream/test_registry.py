"""Protocols by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orchestrators.upstream.byoc import Byoc
from orchestrators.upstream.direct import Direct
from orchestrators.upstream.live_runner import LiveRunner
from orchestrators.upstream.registry import PROTOCOLS, Upstreams

from .conftest import MakePool


async def test_it_knows_every_protocol_by_name(make_pool: MakePool):
    upstreams = Upstreams(make_pool(), "0xabc")
    assert [type(upstreams[name]) for name in PROTOCOLS] == [Byoc, LiveRunner, Direct]
    with pytest.raises(KeyError, match="'smtp' is not a protocol this gateway speaks"):
        upstreams["smtp"]


def test_importing_it_loads_no_http():
    program = (
        "import sys, orchestrators.upstream.registry;"
        "print({'httpx', 'httptools', 'orchestrators.upstream.transport'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
