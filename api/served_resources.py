"""Every resource that the API serves, once: routes, discovery and OpenAPI are made from it.

The image group is `api.md` A.4, word for word; the others are what clients need beside it (A.5).
"""

from __future__ import annotations

from dataclasses import dataclass

from models.resources.core import Event, Namespace, Project
from models.resources.image import Image, ImageSignature
from models.resources.imports import ImageStreamImport
from models.resources.jobs import ImportJob
from models.resources.meta import Secret
from models.resources.registries import Registry
from models.resources.schedule import ScheduledTag
from models.resources.stream import (
    ImageStream,
    ImageStreamImage,
    ImageStreamLayers,
    ImageStreamMapping,
    ImageStreamTag,
    ImageTag,
)
from models.resources.wire import Wire

IMAGE = "image.openshift.io"
SYNC = "sync.tagstream.io"
PROJECT = "project.openshift.io"
USER = "user.openshift.io"
AUTHORIZATION = "authorization.k8s.io"
AUTHENTICATION = "authentication.k8s.io"

_ALL = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_VIRTUAL = ("create", "delete", "get", "list", "patch", "update")
_NO_COLLECTION = ("create", "delete", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class ResourceInfo:
    """One resource, or (with a slash in `resource`) one subresource.

    `model` is None where bodies are made by hand (reviews, users).
    """

    resource: str
    kind: str
    verbs: tuple[str, ...]
    group: str = IMAGE
    version: str = "v1"
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    model: type[Wire] | None = None

    @property
    def api_version(self) -> str:
        """As objects write it: `image.openshift.io/v1`, `v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As messages write it: `imagestreams.image.openshift.io`, `secrets`."""
        base = self.resource.partition("/")[0]
        return f"{base}.{self.group}" if self.group else base

    @property
    def list_kind(self) -> str:
        return f"{self.kind}List"

    @property
    def subresource(self) -> str:
        return self.resource.partition("/")[2]


IMAGES = ResourceInfo("images", "Image", _ALL, namespaced=False, singular="image", model=Image)
SIGNATURES = ResourceInfo(
    "imagesignatures",
    "ImageSignature",
    ("create", "delete"),
    namespaced=False,
    singular="imagesignature",
    model=ImageSignature,
)
STREAM_IMAGES = ResourceInfo(
    "imagestreamimages",
    "ImageStreamImage",
    ("get",),
    singular="imagestreamimage",
    short_names=("isimage",),
    model=ImageStreamImage,
)
STREAM_IMPORTS = ResourceInfo(
    "imagestreamimports",
    "ImageStreamImport",
    ("create",),
    singular="imagestreamimport",
    model=ImageStreamImport,
)
STREAM_MAPPINGS = ResourceInfo(
    "imagestreammappings",
    "ImageStreamMapping",
    ("create",),
    singular="imagestreammapping",
    model=ImageStreamMapping,
)
STREAMS = ResourceInfo(
    "imagestreams",
    "ImageStream",
    _ALL,
    singular="imagestream",
    short_names=("is",),
    categories=("all",),
    model=ImageStream,
)
STREAM_LAYERS = ResourceInfo(
    "imagestreams/layers", "ImageStreamLayers", ("get",), model=ImageStreamLayers
)
STREAM_SECRETS = ResourceInfo("imagestreams/secrets", "SecretList", ("get",))
STREAM_STATUS = ResourceInfo(
    "imagestreams/status", "ImageStream", ("get", "patch", "update"), model=ImageStream
)
STREAM_TAGS = ResourceInfo(
    "imagestreamtags",
    "ImageStreamTag",
    _VIRTUAL,
    singular="imagestreamtag",
    short_names=("istag",),
    model=ImageStreamTag,
)
IMAGE_TAGS = ResourceInfo(
    "imagetags",
    "ImageTag",
    _VIRTUAL,
    singular="imagetag",
    short_names=("itag",),
    model=ImageTag,
)
NAMESPACES = ResourceInfo(
    "namespaces",
    "Namespace",
    _NO_COLLECTION,
    group="",
    namespaced=False,
    singular="namespace",
    short_names=("ns",),
    model=Namespace,
)
SECRETS = ResourceInfo("secrets", "Secret", _ALL, group="", singular="secret", model=Secret)
EVENTS = ResourceInfo(
    "events",
    "Event",
    ("delete", "get", "list", "watch"),
    group="",
    singular="event",
    short_names=("ev",),
    model=Event,
)
PROJECTS = ResourceInfo(
    "projects",
    "Project",
    _NO_COLLECTION,
    group=PROJECT,
    namespaced=False,
    singular="project",
    model=Project,
)
PROJECT_REQUESTS = ResourceInfo(
    "projectrequests",
    "ProjectRequest",
    ("create", "list"),
    group=PROJECT,
    namespaced=False,
    singular="projectrequest",
)
USERS = ResourceInfo(
    "users", "User", ("get", "list"), group=USER, namespaced=False, singular="user"
)
IMPORT_JOBS = ResourceInfo(
    "importjobs",
    "ImportJob",
    ("create", "delete", "get", "list", "watch"),
    group=SYNC,
    singular="importjob",
    short_names=("ij",),
    model=ImportJob,
)
SCHEDULED_TAGS = ResourceInfo(
    "scheduledtags",
    "ScheduledTag",
    ("get", "list"),
    group=SYNC,
    singular="scheduledtag",
    short_names=("st",),
    model=ScheduledTag,
)
REGISTRIES = ResourceInfo(
    "registries",
    "Registry",
    _ALL,
    group=SYNC,
    namespaced=False,
    singular="registry",
    short_names=("reg",),
    model=Registry,
)
SELF_ACCESS = ResourceInfo(
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    ("create",),
    group=AUTHORIZATION,
    namespaced=False,
    singular="selfsubjectaccessreview",
)
SELF_RULES = ResourceInfo(
    "selfsubjectrulesreviews",
    "SelfSubjectRulesReview",
    ("create",),
    group=AUTHORIZATION,
    namespaced=False,
    singular="selfsubjectrulesreview",
)
ACCESS = ResourceInfo(
    "subjectaccessreviews",
    "SubjectAccessReview",
    ("create",),
    group=AUTHORIZATION,
    namespaced=False,
    singular="subjectaccessreview",
)
LOCAL_ACCESS = ResourceInfo(
    "localsubjectaccessreviews",
    "LocalSubjectAccessReview",
    ("create",),
    group=AUTHORIZATION,
    singular="localsubjectaccessreview",
)
SELF = ResourceInfo(
    "selfsubjectreviews",
    "SelfSubjectReview",
    ("create",),
    group=AUTHENTICATION,
    namespaced=False,
    singular="selfsubjectreview",
)

RESOURCES: tuple[ResourceInfo, ...] = (
    IMAGES,
    SIGNATURES,
    STREAM_IMAGES,
    STREAM_IMPORTS,
    STREAM_MAPPINGS,
    STREAMS,
    STREAM_LAYERS,
    STREAM_SECRETS,
    STREAM_STATUS,
    STREAM_TAGS,
    IMAGE_TAGS,
    NAMESPACES,
    SECRETS,
    EVENTS,
    PROJECTS,
    PROJECT_REQUESTS,
    USERS,
    IMPORT_JOBS,
    SCHEDULED_TAGS,
    REGISTRIES,
    SELF_ACCESS,
    SELF_RULES,
    ACCESS,
    LOCAL_ACCESS,
    SELF,
)
GROUPS = ("", IMAGE, PROJECT, USER, AUTHORIZATION, AUTHENTICATION, SYNC)
