"""The table of every resource that the API serves; routes, discovery and OpenAPI are made from it.

The image group has exactly the resources of OpenShift (api-1.2); the other groups are what clients
need besides it (api-1.3).
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

_ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_VIRTUAL_VERBS = ("create", "delete", "get", "list", "patch", "update")
_VERBS_WITHOUT_DELETECOLLECTION = ("create", "delete", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class ResourceInfo:
    """One resource or, with a slash in `resource`, one subresource.

    `model` is None where the body is built without a model (reviews, users).
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
        """Return the `apiVersion` of its objects: `image.openshift.io/v1`, `v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """Return the resource as messages name it: `imagestreams.image.openshift.io`, `secrets`."""
        base = self.resource.partition("/")[0]
        return f"{base}.{self.group}" if self.group else base

    @property
    def list_kind(self) -> str:
        return f"{self.kind}List"

    @property
    def subresource(self) -> str:
        return self.resource.partition("/")[2]


IMAGES = ResourceInfo(
    "images", "Image", _ALL_VERBS, namespaced=False, singular="image", model=Image
)
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
    _ALL_VERBS,
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
    _VIRTUAL_VERBS,
    singular="imagestreamtag",
    short_names=("istag",),
    model=ImageStreamTag,
)
IMAGE_TAGS = ResourceInfo(
    "imagetags",
    "ImageTag",
    _VIRTUAL_VERBS,
    singular="imagetag",
    short_names=("itag",),
    model=ImageTag,
)
NAMESPACES = ResourceInfo(
    "namespaces",
    "Namespace",
    _VERBS_WITHOUT_DELETECOLLECTION,
    group="",
    namespaced=False,
    singular="namespace",
    short_names=("ns",),
    model=Namespace,
)
SECRETS = ResourceInfo("secrets", "Secret", _ALL_VERBS, group="", singular="secret", model=Secret)
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
    _VERBS_WITHOUT_DELETECOLLECTION,
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
    _ALL_VERBS,
    group=SYNC,
    namespaced=False,
    singular="registry",
    short_names=("reg",),
    model=Registry,
)
SELF_ACCESS_REVIEWS = ResourceInfo(
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    ("create",),
    group=AUTHORIZATION,
    namespaced=False,
    singular="selfsubjectaccessreview",
)
SELF_RULES_REVIEWS = ResourceInfo(
    "selfsubjectrulesreviews",
    "SelfSubjectRulesReview",
    ("create",),
    group=AUTHORIZATION,
    namespaced=False,
    singular="selfsubjectrulesreview",
)
ACCESS_REVIEWS = ResourceInfo(
    "subjectaccessreviews",
    "SubjectAccessReview",
    ("create",),
    group=AUTHORIZATION,
    namespaced=False,
    singular="subjectaccessreview",
)
LOCAL_ACCESS_REVIEWS = ResourceInfo(
    "localsubjectaccessreviews",
    "LocalSubjectAccessReview",
    ("create",),
    group=AUTHORIZATION,
    singular="localsubjectaccessreview",
)
SELF_REVIEWS = ResourceInfo(
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
    SELF_ACCESS_REVIEWS,
    SELF_RULES_REVIEWS,
    ACCESS_REVIEWS,
    LOCAL_ACCESS_REVIEWS,
    SELF_REVIEWS,
)
GROUPS = ("", IMAGE, PROJECT, USER, AUTHORIZATION, AUTHENTICATION, SYNC)
