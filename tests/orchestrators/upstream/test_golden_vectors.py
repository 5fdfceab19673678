"""Bytes that other implementations made, and ours beside them.

The keys behind the signatures are no part of this repository, and neither is a hash: a signature is
given, what is around it and under it must be equal byte by byte.
"""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass

import pytest

from orchestrators.upstream.byoc import Byoc, address_header
from orchestrators.upstream.signing import SCHEMES, Offline, v0_message, v1_message

from .conftest import OK, Conversation, MakePool, Serve, call, saying

KEY_A = "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"
KEY_B = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"

# go-livepeer doc/byoc.md
DOC_HEADER = (
    "eyJyZXF1ZXN0IjogIntcInJ1blwiOiBcImVjaG9cIn0iLCAiY2FwYWJpbGl0eSI6ICJ0ZXh0LXJldmVyc2FsIiwgInRpbWVv"
    "dXRfc2Vjb25kcyI6IDMwfQ=="
)
PROOF_A = (
    "0x4e166c2cd389f60c02051be1252202fc8a9d9f81b34ace389523a47cb5e70d265bcff71ffa9bda088fb65f04930ca1"
    "1aa5818b5c688e0d130a32f3a03e9254c91c"
)
PROOF_A_HEADER = (
    "eyJhZGRyIjoiMHg5ZDhBNjJmNjU2YThkMTYxNUMxMjk0ZmQ3MWU5Q0ZiM0U0ODU1QTRGIiwic2lnIjoiMHg0ZTE2NmMyY2Qz"
    "ODlmNjBjMDIwNTFiZTEyNTIyMDJmYzhhOWQ5ZjgxYjM0YWNlMzg5NTIzYTQ3Y2I1ZTcwZDI2NWJjZmY3MWZmYTliZGEwODhm"
    "YjY1ZjA0OTMwY2ExMWFhNTgxOGI1YzY4OGUwZDEzMGEzMmYzYTAzZTkyNTRjOTFjIn0="
)
PROOF_B = (
    "0x2e05f5b96d0c24dde6256c43b4dd51d50979d8a650510a52b1317a95e9eda00d3d716748cd06e78360e29fdfe091e0"
    "c6c5a3d7ae1fb408d0b746ebdd9fa6382a1c"
)
PROOF_B_HEADER = (
    "eyJhZGRyIjoiMHg3RTVGNDU1MjA5MUE2OTEyNWQ1RGZDYjdiOEMyNjU5MDI5Mzk1QmRmIiwic2lnIjoiMHgyZTA1ZjViOTZk"
    "MGMyNGRkZTYyNTZjNDNiNGRkNTFkNTA5NzlkOGE2NTA1MTBhNTJiMTMxN2E5NWU5ZWRhMDBkM2Q3MTY3NDhjZDA2ZTc4MzYw"
    "ZTI5ZmRmZTA5MWUwYzZjNWEzZDdhZTFmYjQwOGQwYjc0NmViZGQ5ZmE2MzgyYTFjIn0="
)
JOB_0_SIG = (
    "0x54adde16fc3ea81cb5513d777f4d75ed42b91e9536576906e38517353dab47fe19fac071df09b02123fb586d2ddca4"
    "604011c818ff4d6d7179c55254659116ce1c"
)
JOB_0_HEADER = (
    "eyJpZCI6ImpvYi0wIiwicmVxdWVzdCI6IntcInJ1blwiOlwiZWNob1wifSIsInBhcmFtZXRlcnMiOiJ7fSIsImNhcGFiaWxp"
    "dHkiOiJ0ZXh0LXJldmVyc2FsIiwiY2FwYWJpbGl0eV91cmwiOiIiLCJzZW5kZXIiOiIweDlkOEE2MmY2NTZhOGQxNjE1QzEy"
    "OTRmZDcxZTlDRmIzRTQ4NTVBNEYiLCJzaWciOiIweDU0YWRkZTE2ZmMzZWE4MWNiNTUxM2Q3NzdmNGQ3NWVkNDJiOTFlOTUz"
    "NjU3NjkwNmUzODUxNzM1M2RhYjQ3ZmUxOWZhYzA3MWRmMDliMDIxMjNmYjU4NmQyZGRjYTQ2MDQwMTFjODE4ZmY0ZDZkNzE3"
    "OWM1NTI1NDY1OTExNmNlMWMiLCJ0aW1lb3V0X3NlY29uZHMiOjMwLCJPcmNoU2VhcmNoVGltZW91dCI6MTAwMDAwMDAwMCwi"
    "T3JjaFNlYXJjaFJlc3BUaW1lb3V0Ijo1MDAwMDAwMDB9"
)
JOB_0_V1 = (
    "4c505f42594f435f4a4f425f563100000000001e000000056a6f622d300000000d746578742d726576657273616c0000"
    "000e7b2272756e223a226563686f227d000000027b7d"
)

JOBS = {
    0: ('{"run":"echo"}', "{}", "text-reversal", 30, "job-0"),
    1: (
        '{"stream_id":"test-stream"}',
        '{"enable_video_ingress":true,"enable_video_egress":true,"enable_data_output":true}',
        "test-capability",
        10,
        "job-1",
    ),
    2: ("{}", "", "text-reversal", 30, "job-2"),
    3: ('{"prompt":"café"}', '{"orchestrators":{"include":["https://orch1:8935"]}}', "flux", 120, "jé"),
}
V1_LENGTHS = {0: 70, 1: 165, 2: 56, 3: 113}


@dataclass(frozen=True)
class Signed:
    """A signer whose signatures are known beforehand."""

    sender: str
    proof: str = ""
    sig: str = ""

    def address_proof(self) -> tuple[str, str]:
        return self.sender, self.proof

    def sign_job(self, request: str, parameters: str, **job: object) -> str:
        return self.sig


def message(scheme: str, number: int) -> bytes:
    request, parameters, capability, timeout, job_id = JOBS[number]
    return SCHEMES[scheme](request, parameters, job_id=job_id, capability=capability, timeout_seconds=timeout)


def decoded(flat: bytes) -> tuple[int, list[str]]:
    assert flat[:16] == b"LP_BYOC_JOB_V1\0\0"
    (timeout,) = struct.unpack_from(">I", flat, 16)
    texts, at = [], 20
    while at < len(flat):
        (length,) = struct.unpack_from(">I", flat, at)
        texts.append(flat[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return timeout, texts


def test_the_documented_header_is_base64_of_json():
    assert json.loads(base64.b64decode(DOC_HEADER)) == {
        "request": '{"run": "echo"}',
        "capability": "text-reversal",
        "timeout_seconds": 30,
    }


@pytest.mark.parametrize(
    ("address", "proof", "header"), [(KEY_A, PROOF_A, PROOF_A_HEADER), (KEY_B, PROOF_B, PROOF_B_HEADER)]
)
def test_the_address_header_is_equal(address: str, proof: str, header: str):
    assert address_header(Signed(address, proof=proof)).decode() == header


async def test_the_job_header_is_equal(serve: Serve, make_pool: MakePool):
    request, parameters, capability, timeout, job_id = JOBS[0]
    job = call(request_id=job_id, request=request, parameters=parameters, timeout=float(timeout))
    peer, byoc = await serve(saying(OK)), Byoc(make_pool(), Signed(KEY_A, sig=JOB_0_SIG))
    await byoc.send(peer.target("byoc", wire_name=capability), job)
    assert peer.received[0].headers[b"livepeer"].decode() == JOB_0_HEADER


def test_the_v1_message_is_equal():
    assert message("v1", 0).hex() == JOB_0_V1


@pytest.mark.parametrize("number", JOBS)
def test_the_v1_message_holds_the_whole_job(number: int):
    request, parameters, capability, timeout, job_id = JOBS[number]
    flat = message("v1", number)
    assert len(flat) == V1_LENGTHS[number]
    assert decoded(flat) == (timeout, [job_id, capability, request, parameters])


@pytest.mark.parametrize("number", JOBS)
def test_the_v0_message_is_the_two_texts(number: int):
    assert message("v0", number) == (JOBS[number][0] + JOBS[number][1]).encode()


def test_the_schemes_have_their_names():
    assert {"v0": v0_message, "v1": v1_message} == SCHEMES


def test_a_v1_timeout_has_32_bits():
    job = {"job_id": "", "capability": ""}
    assert v1_message("", "", timeout_seconds=2**32 - 1, **job)[16:20] == b"\xff" * 4
    with pytest.raises(OverflowError):
        v1_message("", "", timeout_seconds=2**32, **job)


def test_offline_signs_nothing():
    offline = Offline(KEY_A)
    assert offline.address_proof() == (KEY_A, "")
    assert offline.sign_job("{}", "", job_id="", capability="", timeout_seconds=1) == ""


# go-livepeer's JobToken, on-chain and off-chain
ON_CHAIN = (
    b'{"sender_address":{"addr":"0xabc","sig":"0xdef"},"ticket_params":{"recipient":"ERERERERERE'
    b'RERERERERERERERE=","face_value":"A+g=","win_prob":"GZk=","recipient_rand_hash":"aGFzaA==",'
    b'"seed":"BNI=","expiration_block":"AYag","expiration_params":{"creation_round":3000,"creati'
    b'on_round_block_hash":"qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo="}},"balance":1000,"pric'
    b'e":{"pricePerUnit":10,"pixelsPerUnit":1},"service_addr":"https://orch:8935","available_cap'
    b'acity":1,"LastNonce":0}'
)
OFF_CHAIN = (
    b'{"sender_address":{"addr":"0xabc","sig":""},"price":{"pixelsPerUnit":1},"service_addr":"ht'
    b'tps://orch:8935","LastNonce":0}'
)


@pytest.mark.parametrize(
    ("token", "capacity", "price"), [(ON_CHAIN, 1, "10 wei/second"), (OFF_CHAIN, 0, "0 wei/second")]
)
async def test_a_token_is_read(serve: Serve, make_pool: MakePool, token: bytes, capacity: int, price: str):
    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(token) + token)

    peer = await serve(script)
    sighting = await Byoc(make_pool(), Offline(KEY_A)).look(peer.target("byoc"), 5)
    assert (sighting.status, sighting.capacity, sighting.price) == (200, capacity, price)
