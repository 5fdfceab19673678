"""The flag's text, and JSON lists of addresses.

One reader takes the whole family, since each member is the webhook's list with something added, and other
keys are ignored: go-livepeer `-orchWebhookUrl`, gateway_admin's pool, the remote signer's
`/discover-orchestrators`, an orchestrator's `/discovery`, NaaP's discover and rank lists, the
discovery-service, and this gateway's own export.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from orchestrators.core.discovery.entry import (
    LARGEST,
    MOST_NAMES,
    Answer,
    Entry,
    Kind,
    Named,
    NotTheFormat,
    count,
    describe,
    described_object,
    gather,
    load,
    name,
    score,
    service_uri,
    text,
)
from orchestrators.core.price import Price, PriceError, Unit

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = "8935"

# go-livepeer's AI pipelines: `pipeline/model` in a list of capabilities begins with one of them.
PIPELINES = frozenset(
    {
        *("text-to-image", "image-to-image", "image-to-video", "image-to-text", "upscale", "llm"),
        *("audio-to-text", "text-to-speech", "segment-anything-2", "live-video-to-video"),
    }
)
_UNITS = {"seconds": Unit.SECOND, "fixed": Unit.REQUEST}  # 720p-pixel-seconds has no counterpart here


def orch_addr(addresses: str) -> list[str]:
    """Service URIs of an -orchAddr list, each once, read as go-livepeer's `parseOrchAddrs` does; a line
    ends an item as a comma does, and `#` begins a comment."""
    lines = (line.partition("#")[0] for line in addresses.splitlines())
    items = (item.strip() for line in lines for item in line.split(","))
    return list(dict.fromkeys(_with_defaults(item) for item in items if item))


def read_flag(data: bytes) -> Answer:
    if len(data) > LARGEST:
        raise NotTheFormat(f"The list is larger than {LARGEST // 1024**2} MiB.")
    try:
        items = orch_addr(data.decode())
    except UnicodeDecodeError as exc:
        raise NotTheFormat(f"The list is not text (byte {exc.start}).") from exc
    # what the operator typed is trusted as a -orchAddr node is
    return gather(items, lambda item: [Entry(service_uri(item), score=1.0)], what="the list")


def read_addresses(data: bytes) -> Answer:
    document = load(data)
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        document = document["data"]
    return gather(document, _entries, what="the list of addresses")


def _with_defaults(item: str) -> str:
    """A full URL keeps the port it has, or has not."""
    if item.startswith(":"):
        item = DEFAULT_HOST + item
    elif ":" not in item:
        item = f"{item}:{DEFAULT_PORT}"
    return (item if item.startswith("http") else f"https://{item}").rstrip("/")


def _entries(item: object) -> Iterator[Entry]:
    """The endpoint, and those of its runners that live elsewhere."""
    said = described_object(item, "it")
    address = said.get("address", said.get("orchUri"))
    if address is None and "orchAddress" in said:
        raise ValueError("it names an ETH address and no service URI, so it tells nobody where to call.")
    home = service_uri(address)
    runners = list(_runners(said.get("runners")))
    apps = {each.name for _, each in runners}
    names = tuple(_capability(each) for each in _listed(said, "capabilities") if name(each) not in apps)
    yield Entry(home, score(said.get("score")), serves=names)
    for where, runner in runners:
        yield Entry(where, serves=(runner,))


def _listed(said: dict[str, Any], key: str) -> list[Any]:
    values = said.get(key) or []
    if not isinstance(values, list) or len(values) > MOST_NAMES:
        raise ValueError(f"its {key} are {describe(values)}, not a list of at most {MOST_NAMES}.")
    return values


def _capability(value: object) -> Named:
    """`pipeline/model` (a model is for people), an app's `owner/name`, or a BYOC name."""
    called = name(value)
    before, slash, after = called.partition("/")
    if slash and before in PIPELINES:
        return Named(before, Kind.PIPELINE, model=after)
    return Named(called, Kind.RUNNER if slash else Kind.BYOC)


def _runners(value: object) -> Iterator[tuple[str, Named]]:
    """(where, what) of those a request can be sent to: others want a session, or cannot be read."""
    for item in _listed({"runners": value}, "runners"):
        if isinstance(item, dict) and item.get("mode") == "single-shot":
            with suppress(ValueError):
                yield _runner(item)


def _runner(said: dict[str, Any]) -> tuple[str, Named]:
    where, path = _split(said.get("url"))
    free = count(said.get("capacity_available"))
    app, price = name(said.get("app")), _price(said.get("price_info"))
    return where, Named(app, Kind.RUNNER, price, path, capacity=free)


def _split(url: object) -> tuple[str, str]:
    """A runner's URL -> its endpoint, and the path of its app there."""
    whole = text(url, 500)
    scheme, _, rest = whole.partition("://")
    host, _, path = rest.partition("/")
    if "?" in path or "#" in path or not path.isascii() or " " in path:
        raise ValueError(f"a runner's URL {whole!r} is no path on an endpoint.")
    return service_uri(f"{scheme}://{host}"), path.strip("/")


def _price(value: object) -> str:
    """ "" for a price whose unit has no counterpart, or that is none. Who names none works for nothing."""
    if value is None:
        return str(Price(0, 1, Unit.SECOND))
    said = value if isinstance(value, dict) else {}
    unit = _UNITS.get(said.get("unit", "") if isinstance(said.get("unit"), str) else "")
    wei = said.get("price", 0)
    if (
        unit is None
        or said.get("currency", "wei") != "wei"
        or isinstance(wei, bool)
        or not isinstance(wei, int)
    ):
        return ""
    try:
        return str(Price(wei, 1, unit))
    except PriceError:
        return ""
