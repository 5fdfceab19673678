from __future__ import annotations

import base64
import json

import pytest

from routing.core.job_header import JobHeader, JobHeaderError, parse_go_duration, parse_job_header

# The header go-livepeer's own documentation of BYOC shows; it has no `parameters`.
DOCUMENTED = (
    "eyJyZXF1ZXN0IjogIntcInJ1blwiOiBcImVjaG9cIn0iLCAiY2FwYWJpbGl0eSI6ICJ0ZXh0LXJldmVyc2FsIiwg"
    "InRpbWVvdXRfc2Vjb25kcyI6IDMwfQ=="
)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def header(**changes: object) -> str:
    fields: dict[str, object] = {"request": "{}", "capability": "depth", "timeout_seconds": 30}
    return encoded(json.dumps(fields | changes))


def with_orchestrators(wishes: object) -> str:
    return header(parameters=json.dumps({"orchestrators": wishes}))


def test_it_reads_the_documented_header() -> None:
    """R8: the capability comes from the header."""
    assert parse_job_header(DOCUMENTED) == JobHeader(
        capability="text-reversal",
        request='{"run": "echo"}',
        parameters="{}",
        timeout_seconds=30,
        job_id="",
        include=(),
        exclude=(),
    )


def test_it_reads_the_wishes_and_passes_the_texts_on_unchanged() -> None:
    """R48: what is sent on is byte for byte what came."""
    parameters = '{ "orchestrators": {"include": ["https://alder:8935"], "exclude": ["https://cedar:8935/"]} }'
    found = parse_job_header(header(parameters=parameters, id="job-7", request='{"stream_id": "s"}'))

    assert (found.parameters, found.request, found.job_id) == (parameters, '{"stream_id": "s"}', "job-7")
    assert (found.include, found.exclude) == (("https://alder:8935",), ("https://cedar:8935/",))


def test_it_reads_keys_in_any_case_and_ignores_unknown_ones() -> None:
    text = '{"Request": "{}", "CAPABILITY": "depth", "Timeout_Seconds": 5, "sender": 7, "sig": null}'

    assert parse_job_header(encoded(text)).capability == "depth"


@pytest.mark.parametrize("parameters", [None, "", "{}", "null", '{"orchestrators": null}'])
def test_it_takes_absent_parameters_as_no_wishes(parameters: str | None) -> None:
    found = parse_job_header(header(parameters=parameters))

    assert (found.include, found.exclude) == ((), ())
    assert found.parameters == (parameters or "{}")


@pytest.mark.parametrize("wishes", [{}, {"include": None}, {"Include": [], "EXCLUDE": []}])
def test_it_takes_empty_lists_as_no_wishes(wishes: object) -> None:
    assert parse_job_header(with_orchestrators(wishes)).include == ()


def test_it_takes_a_null_request_and_a_null_stream_id() -> None:
    assert parse_job_header(header(request="null")).request == "null"
    assert parse_job_header(header(request='{"stream_id": null}')).job_id == ""


def test_it_says_that_there_is_none() -> None:
    with pytest.raises(JobHeaderError, match="is missing"):
        parse_job_header("")


@pytest.mark.parametrize("value", ["e30", "e30==", "e3 0=", "e-30", "é", "/w=="])
def test_it_refuses_what_is_not_padded_base64_of_a_json_text(value: str) -> None:
    with pytest.raises(JobHeaderError, match="base64|not JSON"):
        parse_job_header(value)


@pytest.mark.parametrize("text", [" ", "{", "[]", "null", "7", '{"a": NaN}', "{} {}", "[" * 100_000])
def test_it_refuses_what_is_not_a_json_object(text: str) -> None:
    with pytest.raises(JobHeaderError, match="not JSON|not a JSON object"):
        parse_job_header(encoded(text))


@pytest.mark.parametrize("capability", [None, "", 7, ["depth"]])
def test_it_refuses_a_header_without_a_capability(capability: object) -> None:
    with pytest.raises(JobHeaderError, match="capability"):
        parse_job_header(header(capability=capability))


@pytest.mark.parametrize("seconds", [None, 0, 30.0, "30", True, -1, 2**63, [30]])
def test_it_refuses_a_timeout_that_is_not_a_positive_integer(seconds: object) -> None:
    with pytest.raises(JobHeaderError, match="timeout_seconds"):
        parse_job_header(header(timeout_seconds=seconds))


@pytest.mark.parametrize("request_text", [None, "", "[]", "7", "{", '{"a": Infinity}', {}, 7])
def test_it_refuses_a_request_an_orchestrator_could_not_read(request_text: object) -> None:
    with pytest.raises(JobHeaderError, match="request"):
        parse_job_header(header(request=request_text))


def test_it_refuses_a_stream_id_that_is_not_a_string() -> None:
    with pytest.raises(JobHeaderError, match="stream_id"):
        parse_job_header(header(request='{"stream_id": 7}'))


@pytest.mark.parametrize("parameters", ["[]", "{", {}, '{"orchestrators": []}'])
def test_it_refuses_parameters_that_are_not_an_object(parameters: object) -> None:
    with pytest.raises(JobHeaderError, match="parameters|orchestrators"):
        parse_job_header(header(parameters=parameters))


@pytest.mark.parametrize("wishes", [{"include": "https://alder:8935"}, {"exclude": [7]}, {"include": [None]}])
def test_it_refuses_wishes_that_are_not_lists_of_strings(wishes: object) -> None:
    with pytest.raises(JobHeaderError, match="include|exclude"):
        parse_job_header(with_orchestrators(wishes))


def test_it_refuses_half_a_surrogate_pair() -> None:
    with pytest.raises(JobHeaderError, match="not valid Unicode"):
        parse_job_header(header(capability="\ud800"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("250ms", 0.25),
        ("1m30s", 90),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("2.s", 2),
        ("+1s", 1),
        ("0", 0),
    ]
    + [("7us", 7e-6), ("7µs", 7e-6), ("7μs", 7e-6), ("7ns", 7e-9)],
)
def test_it_reads_a_go_duration(text: str, seconds: float) -> None:
    assert parse_go_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "1", "s", "1 s", "-1s", "1d", "1s\n", ".s", "1s2", "٣s", "1" * 9000, "1ms" * 34]
)
def test_it_refuses_what_is_no_go_duration(text: str) -> None:
    with pytest.raises(JobHeaderError, match="250ms"):
        parse_go_duration(text)
