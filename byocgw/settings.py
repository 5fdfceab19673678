"""Everything byocgw is told from outside, read from the environment once, at start.

A value that cannot be used stops the start with a sentence that names it (`ImproperlyConfigured`);
a value that is usable but unwise is reported by `manage.py check --deploy`. Each name stands in
`.env.example` and in the README's configuration reference.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import os
import re
import secrets
import socket
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import environ
from django.core.exceptions import ImproperlyConfigured

from byocgw import logs

BASE_DIR = Path(__file__).resolve().parent.parent
LOCAL_DIR = BASE_DIR / ".local"

Number = TypeVar("Number", int, float)
env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")


def read(name: str, default: str = "") -> str:
    """The text of a variable; an empty one counts as not set, as gunicorn.py takes it too."""
    text: str = env.str(name, default="")
    return text.strip() or default


def one_of(name: str, *words: str) -> str:
    """One of these words; the first is the default."""
    word = read(name, words[0]).lower()
    if word not in words:
        raise ImproperlyConfigured(f"{name}: {word!r} is none of {', '.join(words)}.")
    return word


def listed(name: str, default: str = "") -> list[str]:
    return [each.strip() for each in read(name, default).split(",") if each.strip()]


def flag(name: str) -> bool:
    """True or false in the usual spellings; anything else is an error, not a silent false."""
    text = read(name, "false").lower()
    if text not in {"true", "1", "yes", "on", "false", "0", "no", "off"}:
        raise ImproperlyConfigured(f"{name}: {text!r} is neither true nor false.")
    return text in {"true", "1", "yes", "on"}


def whole(name: str, default: int, least: int) -> int:
    text = read(name, str(default))
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ImproperlyConfigured(f"{name}: {text!r} is not a whole number.")
    return at_least(name, int(text), least)


def seconds(name: str, default: float, least: float) -> float:
    text = read(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ImproperlyConfigured(f"{name}: {text!r} is not a number of seconds.")
    return at_least(name, value, least)


def fraction(name: str, default: float) -> float:
    text = read(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:  # which NaN is not
        raise ImproperlyConfigured(f"{name}: {text!r} is not a number from 0 to 1.")
    return value


def log_level() -> str:
    level = read("LOG_LEVEL", "INFO").upper()
    known = logging.getLevelNamesMapping()
    if level not in known:
        raise ImproperlyConfigured(f"LOG_LEVEL: {level!r} is none of {', '.join(known)}.")
    return level


def at_least(name: str, value: Number, least: Number) -> Number:
    if value < least:
        raise ImproperlyConfigured(f"{name}: {value} is too small; the least is {least}.")
    return value


def loopback(bind: str) -> bool:
    host = bind.rsplit(":", 1)[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or bind.startswith("unix:")


def networks(name: str, default: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Comma-separated networks; `none` for none at all."""
    texts = [] if read(name) == "none" else listed(name, default)
    try:
        return tuple(map(ipaddress.ip_network, texts))
    except ValueError as exc:
        raise ImproperlyConfigured(f"{name}: {exc}; write networks such as 10.0.0.0/8, or none.") from exc


def secret_key(bind: str) -> str:
    """From the environment; on a loopback address one is made once and kept in `.local/`."""
    given = read("SECRET_KEY")
    if given:
        return given
    if not loopback(bind):
        raise ImproperlyConfigured(
            f"SECRET_KEY: required when BIND ({bind}) is not a loopback address. "
            "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(64))'"
        )
    return kept_key("secret_key")


def field_keys(bind: str) -> list[str]:
    """From the environment; on a loopback address one is made, as SECRET_KEY is; elsewhere it may be none."""
    given = listed("BYOCGW_FIELD_KEYS")
    if any(len(key) < 32 for key in given):
        raise ImproperlyConfigured(
            "BYOCGW_FIELD_KEYS: a key is shorter than 32 characters. "
            "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(64))'"
        )
    return given or ([kept_key("field_key")] if loopback(bind) else [])


def kept_key(name: str) -> str:
    """Made once, and kept in `.local/`."""
    file = LOCAL_DIR / name
    if not file.exists():
        LOCAL_DIR.mkdir(parents=True, exist_ok=True)
        made = file.with_name(f"{name}.{secrets.token_hex(4)}")
        made.touch(mode=0o600)
        made.write_text(secrets.token_urlsafe(64))
        # link, not rename: of two processes starting together the first wins and both read its key
        try:
            file.hardlink_to(made)
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return file.read_text()


def database(url: str) -> dict[str, Any]:
    try:
        with warnings.catch_warnings(action="ignore"):  # ours says it below, by the variable's name
            found: dict[str, Any] = env.db_url_config(url)
    except Exception as exc:  # the library raises many kinds
        raise ImproperlyConfigured(f"DATABASE_URL: {url!r} is not a database address.") from exc
    engine = found.get("ENGINE", "")
    if engine.endswith("sqlite3"):
        if found["NAME"] != ":memory:":
            # rw, not rwc: a file that is away for a moment must not be replaced by an empty new one;
            # `migrate` alone creates it.
            # Tests use a file as well: one that several threads may open, as in production; a run its own.
            LOCAL_DIR.mkdir(parents=True, exist_ok=True)
            found["TEST"] = {"NAME": str(LOCAL_DIR / f"test-{os.getpid()}.sqlite3")}
            found["NAME"] = f"file:{quote(str(Path(found['NAME']).absolute()))}?mode=rw"
        # IMMEDIATE: a transaction takes the write lock at its start, so two writers wait for each
        # other instead of failing half way. WAL: readers never wait. In WAL, synchronous NORMAL
        # is safe, but the latest commits may go with the power.
        found["OPTIONS"] = {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous="
            + ("FULL;" if BYOCGW_JOURNAL_FSYNC else "NORMAL;"),
        }
    elif not engine.endswith("postgresql"):
        raise ImproperlyConfigured(f"DATABASE_URL: {url.split(':')[0]!r} is neither sqlite nor postgres.")
    return found


def mail(url: str) -> dict[str, Any]:
    """Django's EMAIL_* settings."""
    try:
        found: dict[str, Any] = env.email_url_config(url)
    except Exception as exc:  # the library raises many kinds
        raise ImproperlyConfigured(
            "EMAIL_URL: cannot be read; write smtp+tls://user:password@host:587."
        ) from exc  # without the value: there is a password in it
    return {name: value for name, value in found.items() if name.startswith("EMAIL_")}


def version() -> str:
    """Of the code: the topmost of CHANGELOG.md; "unknown" where it was left behind."""
    file = BASE_DIR / "CHANGELOG.md"
    found = re.search(r"^## (\S+)", file.read_text() if file.exists() else "", re.MULTILINE)
    return found[1] if found else "unknown"


def address(name: str) -> str:
    text = read(name, "0x" + "0" * 40)
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise ImproperlyConfigured(f"{name}: {text!r} is not an Ethereum address (0x and 40 hex digits).")
    return text


# --- what is served, and where -------------------------------------------------------------------

VERSION = version()
BIND = read("BIND", "127.0.0.1:8000")
DEBUG = flag("DEBUG")
SECRET_KEY = secret_key(BIND)
ALLOWED_HOSTS = listed("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = listed("CSRF_TRUSTED_ORIGINS")
WEB_CONCURRENCY = whole("WEB_CONCURRENCY", 1, 1)

BYOCGW_HTTPS = flag("BYOCGW_HTTPS")
SECURE_SSL_REDIRECT = BYOCGW_HTTPS  # Django's middleware: the control plane only, the door has none
SECURE_HSTS_SECONDS = 31_536_000 if BYOCGW_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = BYOCGW_HTTPS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BYOCGW_HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BYOCGW_HTTPS else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^discovery/"]  # neighbours come without TLS
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_AGE = whole("BYOCGW_SESSION_HOURS", 12, 1) * 3600  # a shift
BYOCGW_SESSION_IDLE = whole("BYOCGW_SESSION_IDLE", 60, 0)
SESSION_COOKIE_NAME = "__Host-session" if BYOCGW_HTTPS else "session"  # __Host-: no other host may set it
CSRF_COOKIE_NAME = "__Host-csrf" if BYOCGW_HTTPS else "csrf"
CSRF_COOKIE_HTTPONLY = True  # forms carry the token; no script of ours reads the cookie
SECURE_CSP = {
    "default-src": ["'self'"],
    "base-uri": ["'none'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
    "object-src": ["'none'"],
}

# Who guesses is held up by name and address together: else anybody could lock out anybody.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = whole("BYOCGW_LOGIN_ATTEMPTS", 5, 1)
AXES_COOLOFF_TIME = timedelta(seconds=whole("BYOCGW_LOGIN_PAUSE", 900, 1))
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "byocgw.console.people.caller"
AXES_LOCKOUT_TEMPLATE = "admin/locked.html"
AXES_DISABLE_ACCESS_LOG = True  # a row for each log-in, for ever
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
BYOCGW_FIELD_KEYS = field_keys(BIND)  # the first seals, each of them opens
BYOCGW_SECOND_FACTOR = one_of("BYOCGW_SECOND_FACTOR", "optional", "required")
OTP_TOTP_ISSUER = "byocgw"

# --- the data plane ------------------------------------------------------------------------------

BYOCGW_JOURNAL_DIR = Path(read("BYOCGW_JOURNAL_DIR", str(LOCAL_DIR / "journal")))
BYOCGW_NODE = read("BYOCGW_NODE", re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:40] or "node")
BYOCGW_JOURNAL_FSYNC = seconds("BYOCGW_JOURNAL_FSYNC", 0.0, 0.0)
BYOCGW_KEEP_DAYS = {
    "jobs": whole("BYOCGW_KEEP_JOBS", 30, 0),
    "attempts": whole("BYOCGW_KEEP_ATTEMPTS", 30, 0),
    "snapshots": whole("BYOCGW_KEEP_SNAPSHOTS", 14, 0),
    "revisions": whole("BYOCGW_KEEP_REVISIONS", 0, 0),
}
BYOCGW_JOBS_PER_SECOND = whole("BYOCGW_JOBS_PER_SECOND", 0, 0)
BYOCGW_MAX_BODY = whole("BYOCGW_MAX_BODY", 64 * 1024 * 1024, 1)
BYOCGW_RESULT_MAX = whole("BYOCGW_RESULT_MAX", 8 * 1024 * 1024, 64 * 1024)
BYOCGW_RESULT_SECONDS = seconds("BYOCGW_RESULT_SECONDS", 86_400.0, 60.0)
BYOCGW_RESULTS_PER_CLIENT = whole("BYOCGW_RESULTS_PER_CLIENT", 10_000, 1)
BYOCGW_RESULTS_BYTES = whole("BYOCGW_RESULTS_BYTES", 256 * 1024 * 1024, 64 * 1024)
BYOCGW_MAX_IN_FLIGHT = whole("BYOCGW_MAX_IN_FLIGHT", 1000, 1)
BYOCGW_ALLOWED_NETWORKS = networks("BYOCGW_ALLOWED_NETWORKS", "127.0.0.0/8,::1/128" if loopback(BIND) else "")
# Each key is looked up by the digest of every pepper in turn; new ones get the first. "" is no pepper.
BYOCGW_KEY_PEPPERS = ["" if each == "none" else each for each in listed("BYOCGW_KEY_PEPPERS", "none")]
BYOCGW_ACCESS_LOG = fraction("BYOCGW_ACCESS_LOG", 0.0)
BYOCGW_METRICS_ALLOW = networks("BYOCGW_METRICS_ALLOW", "127.0.0.0/8,::1/128")
BYOCGW_METRICS_TOKEN = read("BYOCGW_METRICS_TOKEN")
BYOCGW_METRICS_OFFERS = whole("BYOCGW_METRICS_OFFERS", 200, 0)
BYOCGW_REPLAY_MEMORY = whole("BYOCGW_REPLAY_MEMORY", 128 * 1024 * 1024, 0)
BYOCGW_EXPOSE_ORCHESTRATOR = flag("BYOCGW_EXPOSE_ORCHESTRATOR")
BYOCGW_DECISION_SAMPLE = fraction("BYOCGW_DECISION_SAMPLE", 0.1)
BYOCGW_SENDER_ADDRESS = address("BYOCGW_SENDER_ADDRESS")
BYOCGW_STREAM_IDLE_TIMEOUT = seconds("BYOCGW_STREAM_IDLE_TIMEOUT", 30.0, 0.1)
BYOCGW_STREAM_TOTAL_TIMEOUT = seconds("BYOCGW_STREAM_TOTAL_TIMEOUT", 600.0, 1.0)

if not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", BYOCGW_NODE):
    raise ImproperlyConfigured(f"BYOCGW_NODE: {BYOCGW_NODE!r} must be 1 to 40 letters, digits, '.', '_', '-'.")

# --- Django --------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "byocgw.console.apps.ConsoleConfig",
    "byocgw.console.apps.OwnConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "rest_framework",
    "orchestrators",
    "routing",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "byocgw.csp.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "byocgw.console.idle.IdleMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "byocgw.console.second_factor.SecondFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "byocgw.urls"
ASGI_APPLICATION = "byocgw.asgi.application"
DATABASES = {"default": database(read("DATABASE_URL", f"sqlite:///{LOCAL_DIR / 'byocgw.sqlite3'}"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # refuses who is locked out, before the password is looked at
    "byocgw.console.rights.RightsBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in (
        ("UserAttributeSimilarityValidator", {}),
        ("MinimumLengthValidator", {"min_length": 12}),
        ("CommonPasswordValidator", {}),
    )
]
EMAIL_CONFIGURED = bool(read("EMAIL_URL"))
globals().update(mail(read("EMAIL_URL", "consolemail://")))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = read("BYOCGW_EMAIL_FROM", "byocgw@localhost")
USE_TZ = True
TIME_ZONE = "UTC"
# errors of forms are told in the reader's language (templates/django/forms/errors)
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["byocgw.console.formats"]
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SECURE = BYOCGW_HTTPS
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "byocgw" / "static"]
STATIC_ROOT = LOCAL_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    "EXCEPTION_HANDLER": "routing.api.problems.problem_for_exception",
}
LOGGING = logs.configuration(log_level(), console=DEBUG)
