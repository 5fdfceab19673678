"""What decides speaks English, the console the reader's language: each sentence has a form, and German."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client as Browser
from django.utils import timezone, translation
from msgspec.structs import replace

from orchestrators.core.outcome import OutcomeClass
from orchestrators.core.reputation import Kind
from orchestrators.display.sentences import told
from orchestrators.display.states import word
from orchestrators.display.wordings import FORMS
from orchestrators.models import Capability
from routing.core.refusal import Code
from routing.core.selection import Rank, Refused, Why, sift
from routing.decisions import MARKS, SENTENCES, pack
from routing.models import Attempt, Job
from routing.terms import terms
from tests.byocgw.test_languages import ada as ada  # who reads German
from tests.byocgw.test_languages import compiled
from tests.routing.core.cast import ALDER, CEDAR
from tests.routing.test_decisions import DEAR, DRAWS, NOW, ranked
from tests.support.forms import shown

ROOT = Path(settings.BASE_DIR)
SPEAKING = (
    *("routing/core/selection.py", "routing/table/ceilings.py", "routing/table/offers.py"),
    *("routing/candidates.py", "routing/decisions.py", "routing/terms.py", "routing/models"),
    *("orchestrators/core/health.py", "orchestrators/core/latency.py", "orchestrators/core/effects.py"),
    *("orchestrators/core/classify.py", "orchestrators/core/scorecard.py", "orchestrators/core/amount.py"),
    *("orchestrators/core/price.py", "orchestrators/core/slug.py", "orchestrators/core/addresses.py"),
    *("orchestrators/core/signature.py", "orchestrators/prober/judgement.py", "orchestrators/models"),
)
# Names and types of rows and columns, numbers with their unit, and what is said to programmers.
SILENT = re.compile(
    r"0 wei/second|\{\} (wei/\{\}|wei/second is .*|ms|due \{\}|is no class\.)|\{\}… of \{\}|QuerySet.*"
    r"|numeric.*|\(SELECT .*|policy \{\}.*|(a|an|an exact|a list of) [\w ]+|A price per \{\} cannot .*"
    r"|Can probe .*|Such as .*"
)
EXAMPLES = {
    "price_ceiling": ("5 wei/second", "3 wei/second"),
    "price_unit": ("second", "pixel"),
    **dict.fromkeys(("mode_offer", "mode_orchestrator"), ("draining",)),
    **dict.fromkeys(("busy", "no_seat"), ("2", "3")),
}
GAP = re.compile(r"\{[a-z_]*\}")


def said() -> Iterator[tuple[str, str]]:
    """(file, text of several words): what is written there, but for docstrings and texts that are marked."""
    for name in SPEAKING:
        file = ROOT / name
        for each in sorted(file.glob("*.py")) if file.is_dir() else [file]:
            for text in _texts(ast.parse(each.read_text())):
                if " " in text.strip(" ;:,.") and re.search("[a-z]{2}", text) and not SILENT.fullmatch(text):
                    yield name, text


def _texts(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Expr(ast.Constant()) | ast.keyword("help_text"):
                continue
            case ast.Call(ast.Name("_" | "gettext" | "Signature") | ast.Attribute(ast.Name("log" | "re"))):
                continue
            case ast.Constant(str() as text):
                yield text
            case ast.JoinedStr(values):
                yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in values)
            case _:
                yield from _texts(child)


def test_every_sentence_has_a_form() -> None:
    """Or is a label, which the catalogue has as it is; a part of one is put together with others there."""
    forms = [GAP.sub("{}", each.replace("{per", "per {")) for each in FORMS]
    labels, texts = compiled(), list(said())
    assert len(texts) > 200, "they are found"
    unknown = [(file, text) for file, text in texts if text not in labels]
    assert [each for each in unknown if not any(re.search(_part(each[1]), form) for form in forms)] == []


def _part(text: str) -> str:
    return ".+".join(map(re.escape, text.strip(" ;:,.").split("{}")))


def test_every_reason_class_and_term_has_german() -> None:
    """The names, which stand in badges, and what they mean."""
    names = [*OutcomeClass, *Why, *Code, *Kind, *MARKS, *(each.name.lower() for each in Rank)]
    meant = [
        text for of in ("decision", "class", "against", "reason", "outcome") for text in terms()[of].values()
    ]
    examples = [text.format(*EXAMPLES.get(why, ("timeout", "3.0"))) for why, text in SENTENCES[1:]]
    with translation.override("de"):
        assert [each for each in names if word(each) == each] == []
        assert [each for each in (*meant, *examples) if told(each) == each] == []
        assert [each for each in meant if re.search(r"\b(the|is|its)\b", told(each))] == [], "all of it"


@pytest.mark.parametrize(
    ("text", "english", "german"),
    [
        ("not ours: 1 < 2", "not ours: 1 &lt; 2", "not ours: 1 &lt; 2"),
        *(
            (strange, strange, strange)
            for strange in ("1.2.3 wei/second", "1/0 wei/pixel", "timeout. " * 400, "")
        ),
        (
            "down after gpu_oom, for 1,234.5 s more",
            "down after gpu_oom, for 1,234.5 s more",
            "ausgefallen nach „GPU-Speicher voll“, noch 1.234,5 s",
        ),
        (
            "2 faults in a row: timeout; not claimed",
            "2 faults in a row: timeout; not claimed",
            "2 Fehler nacheinander: Zeitüberschreitung; nicht angeboten",
        ),
        (
            "endpoint present, unhealthy: timeout: <b>no</b>",
            "endpoint present, unhealthy: timeout: &lt;b&gt;no&lt;/b&gt;",
            "Endpunkt da, nicht gesund: Zeitüberschreitung: &lt;b&gt;no&lt;/b&gt;",
        ),
        (
            "340000000000 wei/second is above the ceiling of 0.5 wei/second",
            '<span class="money" title="340000000000 wei/second">340 gwei/s</span> is above the ceiling of '
            '<span class="money" title="0.5 wei/second">0.5 wei/s</span>',
            '<span class="money" title="340000000000 wei/second">340 gwei/s</span> liegt über der Grenze von '
            '<span class="money" title="0.5 wei/second">0,5 wei/s</span>',
        ),
    ],
)
def test_a_sentence_is_told_with_what_stands_in_its_gaps(text: str, english: str, german: str) -> None:
    """Of a price the exact one is in the title; nothing that others said becomes HTML."""
    for language, expected in (("en", english), ("de", german)):
        with translation.override(language):
            assert told(text) == expected
            assert told(told(text)) == expected, "once is enough"


@pytest.mark.django_db
def test_a_trace_is_told_in_german(ada: Browser) -> None:
    """What the API says stays English."""
    busy = replace(ALDER, orchestrator="douglas", in_flight=2)
    kept, refused = sift([ALDER, CEDAR, busy], tried=frozenset(), include=(), exclude=(), now=NOW)
    unpriced = Refused(8, "elm", Why.BAD_QUOTE, "not probed yet")
    job = Job.objects.create(
        request_id="request-0001",
        at=timezone.now(),
        client="acme",
        capability="depth",
        code="exhausted",
        status=502,
        ms=900,
        policy=1,
        attempts_made=1,
        wei=0,
        bytes_in=0,
        bytes_out=0,
        decision=pack(ranked(*kept), [*refused, DEAR, unpriced], DRAWS),
    )
    Attempt.objects.create(
        job=job,
        number=1,
        orchestrator="alder",
        capability="depth",
        outcome="gpu_oom",
        at=job.at,
        ms=800,
        detail="The answer is empty.",
    )
    page = ada.get("/admin/routing/job/request-0001/change/").content.decode()
    for text in (
        *(
            "GPU-Speicher voll",
            "Die Antwort ist leer.",
            "alle Versuche gescheitert",
            "1.001 wei/s</span> liegt über",
        ),
        *("ausgefallen nach „Zeitüberschreitung“, noch 30,0 s", "2 unterwegs, 2 erlaubt", "noch nicht geprüft"),
        *("Preisgrenze", "kein Platz frei", "bereit", "Was die Wörter bedeuten", "Wessen Angebot es ist."),
    ):
        assert text in page, text
    for text in ("above the ceiling", "down after", "in flight, ", "The answer", "What the", "Whose offer"):
        assert text not in page, text
    assert ada.get("/api/terms/").json()["decision"]["orchestrator"] == "Whose offer it is."


@pytest.mark.django_db
def test_what_cannot_be_saved_is_said_in_german(ada: Browser, shipped: None) -> None:
    url = f"/admin/orchestrators/capability/{Capability.objects.get(slug='depth').pk}/change/"
    wrong = {"slug": "SDXL2", "response": "[]", "ceilings-0-price": "cheap", "ceilings-TOTAL_FORMS": "1"}
    filled = shown(ada, url) | wrong
    saved, previewed = (ada.post(url + more, filled).content.decode() for more in ("", "preview/"))
    for text in (
        "ist die Kennung eines Modells",
        "„cheap“ ist kein Preis;",
        "muss ein Objekt mit content_types",
    ):
        assert text in saved and text in previewed, text
    assert "is not a price" not in saved + previewed
