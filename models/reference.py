"""Image references such as `quay.io/team/app:1.2@sha256:…`: parse, apply defaults, format.

Grammar and error texts are those of OpenShift's image references, because clients compare them
(imports-1.1, imports-1.5, imports-1.8).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from models.errors import InvalidReferenceError, TagstreamError

DOCKER_HUB = "docker.io"
DOCKER_HUB_API = "registry-1.docker.io"
DOCKER_HUB_HOSTS = frozenset({DOCKER_HUB, "index.docker.io", DOCKER_HUB_API})
DEFAULT_TAG = "latest"
MAX_REPOSITORY_NAME_LENGTH = 255

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]+)?"
_NAME = rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}"
_REFERENCE = re.compile(rf"({_NAME})(?::({_TAG}))?(?:@({_DIGEST}))?", re.ASCII)
_REMOTE_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_DIGEST_HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_MAX_INPUT_LENGTH = MAX_REPOSITORY_NAME_LENGTH + 1 + 128 + 1 + 300


@dataclass(frozen=True, slots=True)
class Reference:
    """Registry, namespace, name, tag and id (digest); a part that was not written is empty."""

    registry: str = ""
    namespace: str = ""
    name: str = ""
    tag: str = ""
    id: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Parse a pull spec without applying defaults (imports-1.1, imports-1.2, imports-1.3).

        As upstream, a text without `/` whose name has a dot or starts with `localhost` is a
        registry and nothing else (imports-1.4); its `exact()` is empty. Raises
        InvalidReferenceError.
        """
        name, tag, digest = _parse_parts(text)
        first, slash, rest = name.partition("/")
        if not slash and ("." in name or name.startswith("localhost")):
            return cls(registry=text, id=digest)
        registry = ""
        if slash and ("." in first or ":" in first or first == "localhost"):
            registry, name = first, rest
        namespace, slash, rest = name.partition("/")
        if slash:
            return cls(registry, namespace, rest, tag, digest)
        return cls(registry, "", name, tag, digest)

    def __str__(self) -> str:
        """Format like `exact`, but with Docker Hub's `library` namespace filled in."""
        if not self.namespace and self.registry in DOCKER_HUB_HOSTS:
            return replace(self, namespace="library").exact()
        return self.exact()

    def with_defaults(self) -> Reference:
        """Apply Docker's defaults: docker.io, library, and tag `latest` even beside an id."""
        registry = self.registry or DOCKER_HUB
        namespace = self.namespace
        if not namespace and registry in DOCKER_HUB_HOSTS:
            namespace = "library"
        return Reference(registry, namespace, self.name, self.tag or DEFAULT_TAG, self.id)

    def as_v2(self) -> Reference:
        """Replace Docker Hub's names by the host that serves its API."""
        if self.registry in {DOCKER_HUB, "index.docker.io"}:
            return replace(self, registry=DOCKER_HUB_API)
        return self

    def registry_url(self) -> str:
        """Return the base URL of the registry's API; the reference must have its defaults."""
        return f"https://{self.as_v2().registry}"

    def repository_name(self) -> str:
        """Return namespace and name as the paths of the registry API contain them."""
        return Reference(namespace=self.namespace, name=self.name).exact()

    def repository_key(self) -> str:
        """Return one canonical text for a repository, however it was written (registry-1.6)."""
        full = self.with_defaults()
        registry = full.registry.lower()
        return (
            f"{DOCKER_HUB if registry in DOCKER_HUB_HOSTS else registry}/{full.repository_name()}"
        )

    def as_repository(self) -> Reference:
        """Drop tag and id."""
        return replace(self, tag="", id="")

    def most_specific(self) -> Reference:
        """Drop the tag where there is a digest."""
        if not self.id:
            return self
        if is_digest(self.id):
            return replace(self, tag="")
        if not self.tag:
            return replace(self, tag=self.id, id="")
        return self

    def name_string(self) -> str:
        """Format name with id or tag, without registry and namespace."""
        if not self.name:
            return ""
        if self.id:
            return f"{self.name}{'@' if is_digest(self.id) else ':'}{self.id}"
        return f"{self.name}:{self.tag}" if self.tag else self.name

    def exact(self) -> str:
        """Format as written, without defaults; empty where there is no name."""
        name = self.name_string()
        if not name:
            return ""
        return "/".join(part for part in (self.registry, self.namespace, name) if part)

    def minimal(self) -> Reference:
        """Drop the tag `latest`."""
        return replace(self, tag="") if self.tag == DEFAULT_TAG else self

    def daemon_minimal(self) -> Reference:
        """Shorten as the Docker daemon does: one name for Docker Hub, no `library`, no `latest`."""
        registry = DOCKER_HUB if self.registry in DOCKER_HUB_HOSTS else self.registry
        namespace = self.namespace
        if registry == DOCKER_HUB and namespace == "library":
            namespace = ""
        return replace(self, registry=registry, namespace=namespace).minimal()

    def equals(self, other: Reference) -> bool:
        """Return whether both references are equal once defaults are applied."""
        return self.with_defaults() == other.with_defaults()

    def registry_host_port(self, *, insecure: bool) -> tuple[str, str]:
        """Return host and port for the allow-list (imports-1.7).

        `as_v2` is applied *before* the defaults, so a reference without a registry has host
        `docker.io`, not `registry-1.docker.io`.
        """
        registry = self.as_v2().with_defaults().registry
        host, colon, port = registry.partition(":")
        if colon:
            return host, port
        return registry, "80" if insecure else "443"


def _parse_parts(text: str) -> tuple[str, str, str]:
    """Split into name (with its host), tag and digest; errors are upstream's, in its order."""
    found = _REFERENCE.fullmatch(text) if len(text) <= _MAX_INPUT_LENGTH else None
    if found is None:
        raise InvalidReferenceError(_mismatch_message(text))
    name, tag, digest = found.group(1), found.group(2) or "", found.group(3) or ""
    if len(name) > MAX_REPOSITORY_NAME_LENGTH:
        raise InvalidReferenceError("repository name must not be more than 255 characters")
    if digest:
        check_digest(digest)
    return name, tag, digest


def _mismatch_message(text: str) -> str:
    if not text:
        return "repository name must have at least one component"
    if len(text) <= _MAX_INPUT_LENGTH and _REFERENCE.fullmatch(text.lower()):
        return "repository name must be lowercase"
    return "invalid reference format"


def check_digest(text: str) -> None:
    """Raise InvalidReferenceError for a digest of unknown algorithm or length (imports-1.2)."""
    algorithm, colon, encoded = text.partition(":")
    if not colon or not re.fullmatch(_DIGEST, text, re.ASCII):
        raise InvalidReferenceError("invalid checksum digest format")
    length = _DIGEST_HEX_LENGTHS.get(algorithm)
    if length is None:
        raise InvalidReferenceError(
            "unsupported digest algorithm", code="content.unsupported_digest"
        )
    if len(encoded) != length:
        raise InvalidReferenceError("invalid checksum digest length")


def is_digest(text: str) -> bool:
    """Return whether `text` is a digest that we can verify."""
    try:
        check_digest(text)
    except InvalidReferenceError:
        return False
    return True


def is_registry_host(text: str) -> bool:
    """Return whether the first component of a pull spec names a registry: host or host:port."""
    if re.fullmatch(_HOST, text, re.ASCII) is None or len(text) > MAX_REPOSITORY_NAME_LENGTH:
        return False
    host, colon, port = text.partition(":")
    return bool("." in host or colon or host.lower() == "localhost") and len(port) <= 5


def is_remote_name(text: str) -> bool:
    """Return whether `text` is the path of a repository within its registry."""
    return _REMOTE_NAME.fullmatch(text) is not None and len(text) <= MAX_REPOSITORY_NAME_LENGTH


def normalise_pull_spec(text: str) -> str:
    """Normalize a pull spec to the full name used in requests and error texts (imports-1.9).

    Unlike in `Reference.parse`, a first component with upper-case letters is a host here, and hex
    digits must be lower case. Raises TagstreamError with the texts of imports-4.8.
    """
    found = re.fullmatch(rf"([^@]*?)(?::({_TAG}))?(?:@([^@/]+:[^@/]+))?", text, re.ASCII)
    if not text or found is None:
        raise TagstreamError(f"unable to parse docker reference {text}: invalid reference format")
    name, tag, digest = found.group(1), found.group(2) or "", found.group(3) or ""
    if re.fullmatch(r"[a-f0-9]{64}", name):
        raise TagstreamError(
            f"invalid repository name ({name}), cannot specify 64-byte hexadecimal strings"
        )
    host, path = _split_host(name)
    suffix = (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    if _REMOTE_NAME.fullmatch(path) is None:
        if _REMOTE_NAME.fullmatch(path.lower()) is None or path == path.lower():
            raise TagstreamError(
                f"unable to parse docker reference {text}: invalid reference format"
            )
        raise TagstreamError(f"{text}: repository name must be lowercase")
    if host not in {DOCKER_HUB, "localhost"} and not re.fullmatch(r".*[.:].*", host):
        raise TagstreamError(f"{text}: repository name must be lowercase")
    if digest and (not is_digest(digest) or digest != digest.lower()):
        raise TagstreamError("invalid checksum digest format")
    return f"{host}/{path}{suffix}"


def _split_host(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_host = bool(slash) and (
        "." in first or ":" in first or first == "localhost" or first != first.lower()
    )
    host, path = (first, rest) if is_host else (DOCKER_HUB, name)
    if host == "index.docker.io":
        host = DOCKER_HUB
    if host == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    return host, path


def split_stream_tag(text: str) -> tuple[str, str, bool]:
    """Split `stream[:tag]` into stream, tag, and whether a tag was written."""
    name, colon, tag = text.partition(":")
    return name, tag or DEFAULT_TAG, bool(colon)


def parse_stream_tag_name(text: str) -> tuple[str, str]:
    """Parse the name of an ImageStreamTag into stream and tag (imports-1.10)."""
    if "@" in text:
        raise InvalidReferenceError(f'"{text}" is an image stream image, not an image stream tag')
    parts = text.split(":")
    if len(parts) != 2:
        raise InvalidReferenceError(f'expected exactly one : delimiter in the istag "{text}"')
    if not all(parts):
        raise InvalidReferenceError(f'image stream tag name "{text}" must have a name and a tag')
    return parts[0], parts[1]


def parse_stream_image_name(text: str) -> tuple[str, str]:
    """Parse the name of an ImageStreamImage into stream and image (imports-1.11)."""
    parts = text.split("@")
    if len(parts) != 2:
        raise InvalidReferenceError(f'expected exactly one @ in the isimage name "{text}"')
    if not all(parts):
        raise InvalidReferenceError(f'image stream image name "{text}" must have a name and ID')
    return parts[0], parts[1]


def digest_or_image_match(image: str, prefix: str) -> bool:
    """Return whether `prefix` selects `image`, with or without the algorithm (imports-1.12)."""
    if is_digest(image) and image.partition(":")[2].startswith(prefix):
        return True
    return image.startswith(prefix)
