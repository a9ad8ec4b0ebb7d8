"""Who signed an archive: minisign's signatures, verified here; sigstore's, if its package is installed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from hermes.contracts.errors import ConfigError, PluginError

_SIGSTORE = "sigstore:"


class PublicKey(NamedTuple):
    """``text``: as minisign writes it, and as it is kept in the lock."""

    text: str
    id: bytes
    key: bytes


class Signed(NamedTuple):
    """``by``: the public key or ``sigstore:IDENTITY``; blank if it is not proved. ``note``: what to tell."""

    by: str = ""
    note: str = "not signed"


def read_key(text: str) -> PublicKey:
    """A public key: its line, or the whole of a ``.pub`` file.

    Raises:
        ConfigError: it is none.
    """
    line = (text.strip().splitlines() or [""])[-1].strip()
    data = _decoded(line)
    if len(data) != 42 or data[:2] != b"Ed":
        raise ConfigError(f"{line[:60]!r} is no public key of minisign.", hint="It begins with RW and has 56 letters.")
    return PublicKey(line, data[2:10], data[10:])


def _decoded(line: str) -> bytes:
    try:
        return base64.b64decode(line.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def verify_minisign(archive: Path, signature: str, keys: Iterable[PublicKey]) -> PublicKey | None:
    """The key that signed it; None if none of ``keys`` has the number that the signature names.

    Raises:
        PluginError: the signature is malformed, or wrong.
    """
    lines = [line.rstrip("\r") for line in signature.strip("\n").split("\n")]
    if len(lines) != 4 or not lines[2].startswith("trusted comment: "):
        raise _wrong(archive, "it is no signature of minisign")
    head, whole = _decoded(lines[1]), _decoded(lines[3])
    if len(head) != 74 or len(whole) != 64 or head[:2] not in (b"Ed", b"ED"):
        raise _wrong(archive, "it is no signature of minisign")
    key = next((key for key in keys if hmac.compare_digest(key.id, head[2:10])), None)
    if key is None:
        return None
    if head[:2] == b"ED":
        with archive.open("rb") as content:
            signed = hashlib.file_digest(content, hashlib.blake2b).digest()
    else:
        signed = archive.read_bytes()
    comment = lines[2].removeprefix("trusted comment: ").encode("utf-8", "surrogateescape")
    if not _proves(key, head[10:], signed) or not _proves(key, whole, head[10:] + comment):
        raise _wrong(archive, "the archive or the signature was changed")
    return key


def _proves(key: PublicKey, signature: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key.key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _wrong(archive: Path, why: str) -> PluginError:
    return PluginError(
        f"The signature of {archive.name} is wrong: {why}.",
        hint="Nothing was changed. Do not install it; tell its author.",
    )


def check_signature(archive: Path | None, beside: Mapping[str, bytes], trusted: list[str], agreed: str) -> Signed:
    """Who signed the archive. A signature that is there and wrong is always refused.

    Args:
        beside: suffix → the file's content: ``.minisig``, ``.sigstore.json``, ``.pub`` (its key).
        agreed: who signed it when it was last installed; blank if nobody or never.

    Raises:
        PluginError: a signature is wrong, is by somebody else than before, or is missing where there was one.
    """
    signed = Signed()
    if archive is not None and ".minisig" in beside:
        keys = [read_key(text) for text in (*trusted, agreed) if text and not text.startswith(_SIGSTORE)]
        if ".pub" in beside:
            keys.append(read_key(beside[".pub"].decode("ascii", "replace")))
        key = verify_minisign(archive, beside[".minisig"].decode("utf-8", "surrogateescape"), keys)
        signed = Signed(key.text, f"signed by {key.text}") if key else Signed("", "signed by a key that is not known")
    elif archive is not None and ".sigstore.json" in beside:
        signed = _verify_sigstore(archive, beside[".sigstore.json"])
    if agreed and signed.by != agreed:
        raise PluginError(
            f"It was signed by {agreed} when you installed it, and now it is {signed.note}.",
            hint="Ask its author. If the new key is right: hermes plugins remove it, and install it again.",
        )
    if signed.by and signed.by in trusted:
        return signed._replace(note=f"{signed.note}, which you trust")
    if signed.by and not agreed:
        return signed._replace(note=f"{signed.note}, seen for the first time: other keys are refused from now on")
    return signed


def _verify_sigstore(archive: Path, bundle: bytes) -> Signed:
    try:
        from sigstore.errors import Error  # type: ignore[import-not-found]
        from sigstore.models import Bundle  # type: ignore[import-not-found]
        from sigstore.verify import Verifier  # type: ignore[import-not-found]
        from sigstore.verify.policy import UnsafeNoOp  # type: ignore[import-not-found]
    except ImportError:
        return Signed("", "signed with sigstore, not verified (pip install 'hermes-plugin-installer[sigstore]')")
    try:
        verifier = Verifier.production()
    except (Error, OSError) as error:
        raise PluginError(f"sigstore's keys cannot be fetched: {error}", hint="Check the network.") from None
    try:
        parsed = Bundle.from_json(bundle)
        verifier.verify_artifact(archive.read_bytes(), parsed, UnsafeNoOp())
    except (Error, ValueError) as error:
        raise _wrong(archive, f"sigstore says: {error}") from None
    identity = _identity(parsed.signing_certificate)
    return Signed(f"{_SIGSTORE}{identity}", f"signed by {identity} (sigstore)")


def _identity(certificate: object) -> str:
    """The certificate's subject: an address of e-mail, or of a workflow; whoever is named there was proved."""
    from cryptography import x509

    assert isinstance(certificate, x509.Certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return str(next(iter(names)).value)
