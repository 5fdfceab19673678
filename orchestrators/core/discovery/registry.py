"""Registries: what a stock gateway knows of the network, what the chain knows, what operators sign.

`getNetworkCapabilities` tells of standard pipelines and BYOC capabilities alike (R4): a price entry names
a capability's number and a constraint, which is a model for the former and the name itself for BYOC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from orchestrators.core.discovery.entry import (
    MOST_NAMES,
    Answer,
    Entry,
    Kind,
    Named,
    NotTheFormat,
    describe,
    described_object,
    gather,
    load,
    name,
    service_uri,
    text,
)
from orchestrators.core.price import Price, PriceError, Unit

BYOC = 37  # go-livepeer core.Capability_BYOC
_ETH_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def read_network(data: bytes) -> Answer:
    """`GET /getNetworkCapabilities` of a gateway's CLI port (go-livepeer server/webserver.go)."""
    document = load(data)
    if not isinstance(document, dict) or "orchestrators" not in document:
        raise NotTheFormat(f'The answer is {describe(document)}; expected an object with "orchestrators".')
    known = document.get("capabilities_names")
    names = known if isinstance(known, dict) else {}
    return gather(document["orchestrators"], lambda item: _of_network(item, names), what='"orchestrators"')


def read_subgraph(data: bytes) -> Answer:
    """`transcoders` of the protocol's subgraph: membership, and nothing about what they serve."""
    document = load(data)
    found = document.get("data") if isinstance(document, dict) else None
    if not isinstance(found, dict) or "transcoders" not in found:
        raise NotTheFormat(
            f'The answer is {describe(document)}; expected {{"data": {{"transcoders": [...]}}}}.'
        )
    return gather(found["transcoders"], _of_subgraph, what='"transcoders"')


def read_manifest(data: bytes) -> Answer:
    """`/.well-known/livepeer-registry.json`: endpoints, regions and who signed. The signature is not checked,
    and what it offers is of another protocol, so neither counts for more than an address that was named."""
    document = load(data)
    if not isinstance(document, dict) or "nodes" not in document:
        raise NotTheFormat(f'The answer is {describe(document)}; expected an object with "nodes".')
    owner = _eth_address(document.get("eth_address"))
    return gather(document["nodes"], lambda item: _of_manifest(item, owner), what='"nodes"')


def _of_network(item: object, names: Mapping[str, Any]) -> Iterator[Entry]:
    said = described_object(item, "it")
    owner = _eth_address(said.get("address")) or _eth_address(said.get("local_address"))
    serves = tuple(islice(_served(said, names), MOST_NAMES + 1))
    yield Entry(service_uri(said.get("orch_uri")), eth_address=owner, serves=serves)


def _served(said: dict[str, Any], names: Mapping[str, Any]) -> Iterator[Named]:
    for price in _objects(said.get("capabilities_prices")):
        yield from _priced(price, names)
    for number, model in _constraints(said.get("capabilities")):
        if pipeline := _slug(names.get(number)):
            yield Named(pipeline, Kind.PIPELINE, model=text(model))
    for row in _objects(said.get("hardware")):
        if pipeline := _slug(row.get("pipeline")):
            yield Named(pipeline, Kind.PIPELINE, model=text(row.get("model_id")))


def _priced(price: dict[str, Any], names: Mapping[str, Any]) -> Iterator[Named]:
    """Go leaves zeros out; a price without a denominator is none."""
    capability, constraint = price.get("capability"), price.get("constraint")
    if capability == BYOC:
        yield Named(name(constraint), Kind.BYOC, _price(price, Unit.SECOND))
    elif pipeline := _slug(names.get(str(capability))):
        yield Named(pipeline, Kind.PIPELINE, _price(price, Unit.PIXEL), model=text(constraint))


def _constraints(capabilities: object) -> Iterator[tuple[str, str]]:
    """(capability's number, model) of `constraints.PerCapability`; BYOC never stands there."""
    value: object = capabilities
    for key in ("constraints", "PerCapability"):
        value = value.get(key) if isinstance(value, dict) else None
    for number, said in value.items() if isinstance(value, dict) else ():
        models = said.get("models") if isinstance(said, dict) else None
        for model in models if isinstance(models, dict) else ():
            yield number, model


def _slug(called: object) -> str:
    """ "Text to image" and "text-to-image" -> text-to-image."""
    return re.sub(r"[^a-z0-9]+", "-", text(called).lower()).strip("-")


def _price(said: dict[str, Any], unit: Unit) -> str:
    wei, units = said.get("pricePerUnit", 0), said.get("pixelsPerUnit", 0)
    if not isinstance(wei, int) or not isinstance(units, int):
        return ""
    try:
        return str(Price(wei, units, unit))
    except PriceError:
        return ""


def _of_subgraph(item: object) -> Iterator[Entry]:
    said = described_object(item, "it")
    if said.get("active") is True and said.get("serviceURI"):
        yield Entry(service_uri(said["serviceURI"]), eth_address=_eth_address(said.get("id")))


def _of_manifest(item: object, owner: str) -> Iterator[Entry]:
    said = described_object(item, "it")
    extra = said.get("extra")
    geo = extra.get("geo") if isinstance(extra, dict) else None
    region = text(geo.get("region"), 63) if isinstance(geo, dict) else ""
    yield Entry(service_uri(said.get("url")), eth_address=owner, region=region)


def _eth_address(value: object) -> str:
    return value.lower() if isinstance(value, str) and _ETH_ADDRESS.fullmatch(value) else ""


def _objects(value: object) -> Iterator[dict[str, Any]]:
    for each in value if isinstance(value, list) else []:
        if isinstance(each, dict):
            yield each
