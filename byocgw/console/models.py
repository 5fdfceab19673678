"""What the console keeps of a person: the app that shows their codes."""

from __future__ import annotations

from binascii import unhexlify
from typing import Any

from django.db import transaction
from django_otp.plugins.otp_totp.models import TOTPDevice
from django_otp.util import random_hex

from orchestrators.models.secret import Secret, SecretField


class AuthenticatorApp(TOTPDevice):  # type: ignore[misc]
    """django-otp's device, whose secret is encrypted at rest.

    The library's own column, `key`, holds a random text that nothing is made of. Everything it computes from a
    secret it takes from `bin_key`; so that raises NoKey where no key opens ours.
    """

    secret = SecretField(help_text="What the app was shown; in hex.")

    class Meta:
        default_permissions = ()
        verbose_name = "authenticator app"

    @classmethod
    def begin(cls, user: Any) -> AuthenticatorApp:
        """One that counts once its first code has come back, instead of any begun before. Raises NoKey."""
        secret = Secret.of(random_hex(20))
        with transaction.atomic():
            cls.objects.filter(user=user, confirmed=False).delete()
            begun: AuthenticatorApp = cls.objects.create(user=user, name="app", confirmed=False, secret=secret)
        return begun

    @property
    def bin_key(self) -> bytes:
        return unhexlify(self.secret.reveal())
