"""OpenAPI types that have no model: reviews, users, and the parts of object metadata.

A field is a type in the notation of `type_notation.py`, and its text for `kubectl explain`. `@Name`
is a type of this module or the name of a model.
"""

from __future__ import annotations

from dataclasses import dataclass

from api.openapi.descriptions import OBJECT_META
from api.served_resources import AUTHENTICATION, AUTHORIZATION, PROJECT, USER

Fields = dict[str, tuple[str, str]]

_META = ("@ObjectMeta", OBJECT_META)


@dataclass(frozen=True, slots=True)
class ExternalType:
    """A type without a model; `package` is the prefix of its schema's name."""

    package: str
    description: str
    fields: Fields
    required: tuple[str, ...] = ()


META_PACKAGE = "io.k8s.apimachinery.pkg.apis.meta.v1"
CORE_PACKAGE = "io.k8s.api.core.v1"
_PACKAGES = {
    AUTHORIZATION: "io.k8s.api.authorization.v1",
    AUTHENTICATION: "io.k8s.api.authentication.v1",
    PROJECT: "com.github.openshift.api.project.v1",
    USER: "com.github.openshift.api.user.v1",
}

_ACCESS_ATTRIBUTES: Fields = {
    "resourceAttributes": ("@ResourceAttributes", "A verb on a resource."),
    "nonResourceAttributes": ("@NonResourceAttributes", "A verb on a path."),
}
_SUBJECT_FIELDS: Fields = {
    "user": ("string", "The user whose access is reviewed."),
    "groups": ("[]string", "The groups of the user."),
    "uid": ("string", "The uid of the user."),
    "extra": ("map[]string", "Additional attributes of the user."),
}
_ACCESS_REVIEW: Fields = {
    "metadata": _META,
    "status": ("@SubjectAccessReviewStatus", "The result of the review. Set by the server."),
}


def _access_review(description: str, spec: str) -> ExternalType:
    fields = {**_ACCESS_REVIEW, "spec": (f"@{spec}", "The access to review.")}
    return ExternalType(_PACKAGES[AUTHORIZATION], description, fields, required=("spec",))


_META_TYPES: dict[str, ExternalType] = {
    "OwnerReference": ExternalType(
        META_PACKAGE,
        "OwnerReference names an object that owns this one.",
        {
            "apiVersion": ("string", "The API version of the owner."),
            "kind": ("string", "The kind of the owner."),
            "name": ("string", "The name of the owner."),
            "uid": ("string", "The uid of the owner."),
            "controller": ("bool", "Whether the owner manages the object."),
            "blockOwnerDeletion": ("bool", "Whether the object must be deleted before its owner."),
        },
        required=("apiVersion", "kind", "name", "uid"),
    ),
    "ManagedFieldsEntry": ExternalType(
        META_PACKAGE,
        "ManagedFieldsEntry lists the fields that one field manager owns.",
        {
            "manager": ("string", "The name of the field manager."),
            "operation": ("string", "How it wrote: Apply or Update."),
            "apiVersion": ("string", "The API version of the field names."),
            "time": ("time", "When it last wrote."),
            "fieldsType": ("string", "The format of the fields; FieldsV1."),
            "fieldsV1": ("object", "The fields, as a tree of their names."),
            "subresource": ("string", "The subresource that was written."),
        },
    ),
    "StatusDetails": ExternalType(
        META_PACKAGE,
        "StatusDetails names the object that a Status is about, and lists the causes.",
        {
            "name": ("string", "The name of the object."),
            "group": ("string", "The API group of the object."),
            "kind": ("string", "The resource or kind of the object."),
            "uid": ("string", "The uid of the object."),
            "causes": ("[]@StatusCause", "Every cause of the failure."),
            "retryAfterSeconds": ("int32", "After how many seconds to retry."),
        },
    ),
    "StatusCause": ExternalType(
        META_PACKAGE,
        "StatusCause is one cause of a failure.",
        {
            "reason": ("string", "What is wrong, as a CamelCase word."),
            "message": ("string", "What is wrong, as a sentence."),
            "field": ("string", "The field that is wrong."),
        },
    ),
    "DeleteOptions": ExternalType(
        META_PACKAGE,
        "DeleteOptions are the options of a DELETE request.",
        {
            "gracePeriodSeconds": ("int64", "Accepted without effect."),
            "preconditions": ("@Preconditions", "Conditions without which nothing is deleted."),
            "orphanDependents": ("bool", "The deprecated form of propagationPolicy."),
            "propagationPolicy": (
                "string",
                "Foreground, Background or Orphan. All have the effect of Background.",
            ),
            "dryRun": ("[]string", "All: everything is checked and nothing is deleted."),
        },
    ),
    "Preconditions": ExternalType(
        META_PACKAGE,
        "Preconditions are the conditions on which an object is deleted.",
        {
            "uid": ("string", "The uid that the object must have."),
            "resourceVersion": ("string", "The version that the object must have."),
        },
    ),
    "Condition": ExternalType(
        META_PACKAGE,
        "Condition is one aspect of the current state of an object.",
        {
            "type": ("string", "The type of the condition, as a CamelCase word."),
            "status": ("string", "Whether the condition holds: True, False or Unknown."),
            "observedGeneration": ("int64", "The generation that the condition is based on."),
            "lastTransitionTime": ("time", "When the status last changed."),
            "reason": ("string", "Why, as a CamelCase word."),
            "message": ("string", "Why, as a sentence."),
        },
        required=("type", "status"),
    ),
    "Patch": ExternalType(META_PACKAGE, "Patch describes the changes to an object.", {}),
    "WatchEvent": ExternalType(
        META_PACKAGE,
        "WatchEvent is one event of a watch: a change of an object.",
        {
            "type": ("string", "ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."),
            "object": ("object", "The object after the change, or its last state if deleted."),
        },
        required=("type", "object"),
    ),
    "NamespaceCondition": ExternalType(
        CORE_PACKAGE,
        "NamespaceCondition is one aspect of the state of a namespace that is being deleted.",
        {
            "type": ("string", "The type of the condition, as a CamelCase word."),
            "status": ("string", "Whether the condition holds: True, False or Unknown."),
            "lastTransitionTime": ("time", "When the status last changed."),
            "reason": ("string", "Why, as a CamelCase word."),
            "message": ("string", "Why, as a sentence."),
        },
        required=("type", "status"),
    ),
}

_ACCESS_TYPES: dict[str, ExternalType] = {
    "SelfSubjectAccessReview": _access_review(
        "SelfSubjectAccessReview checks whether the caller may do something.",
        "SelfSubjectAccessReviewSpec",
    ),
    "SubjectAccessReview": _access_review(
        "SubjectAccessReview checks whether a user or group may do something.",
        "SubjectAccessReviewSpec",
    ),
    "LocalSubjectAccessReview": _access_review(
        "LocalSubjectAccessReview checks whether a user or group may do something in one "
        "namespace.",
        "SubjectAccessReviewSpec",
    ),
    "SelfSubjectAccessReviewSpec": ExternalType(
        _PACKAGES[AUTHORIZATION],
        "SelfSubjectAccessReviewSpec describes the access: exactly one of resourceAttributes and "
        "nonResourceAttributes.",
        _ACCESS_ATTRIBUTES,
    ),
    "SubjectAccessReviewSpec": ExternalType(
        _PACKAGES[AUTHORIZATION],
        "SubjectAccessReviewSpec describes the subject and the access: exactly one of "
        "resourceAttributes and nonResourceAttributes.",
        _ACCESS_ATTRIBUTES | _SUBJECT_FIELDS,
    ),
    "SubjectAccessReviewStatus": ExternalType(
        _PACKAGES[AUTHORIZATION],
        "SubjectAccessReviewStatus is the result of an access review.",
        {
            "allowed": ("bool", "Whether the access is allowed."),
            "denied": ("bool", "Whether the access is explicitly denied."),
            "reason": ("string", "Why the access is allowed or denied."),
            "evaluationError": ("string", "An error during the evaluation."),
        },
        required=("allowed",),
    ),
    "ResourceAttributes": ExternalType(
        _PACKAGES[AUTHORIZATION],
        "ResourceAttributes describe the access to a resource.",
        {
            "namespace": ("string", "The namespace; empty for all, or for none."),
            "verb": ("string", "The verb, such as get, list or create; * for all."),
            "group": ("string", "The API group; * for all."),
            "version": ("string", "The API version; * for all."),
            "resource": ("string", "The resource, such as imagestreams; * for all."),
            "subresource": ("string", "The subresource, such as status."),
            "name": ("string", "The name; empty for all."),
            "fieldSelector": ("object", "A restriction by field."),
            "labelSelector": ("object", "A restriction by label."),
        },
    ),
    "NonResourceAttributes": ExternalType(
        _PACKAGES[AUTHORIZATION],
        "NonResourceAttributes describe the access to a path that is not a resource.",
        {
            "path": ("string", "The path."),
            "verb": ("string", "The method, such as get."),
        },
    ),
    "SelfSubjectRulesReview": ExternalType(
        _PACKAGES[AUTHORIZATION],
        "SelfSubjectRulesReview lists everything that the caller may do in a namespace.",
        {
            "metadata": _META,
            "spec": ("@SelfSubjectRulesReviewSpec", "The namespace to review."),
            "status": ("@SubjectRulesReviewStatus", "The result of the review. Set by the server."),
        },
        required=("spec",),
    ),
    "SelfSubjectRulesReviewSpec": ExternalType(
        _PACKAGES[AUTHORIZATION],
        "SelfSubjectRulesReviewSpec names the namespace to review.",
        {"namespace": ("string", "The namespace.")},
    ),
    "SubjectRulesReviewStatus": ExternalType(
        _PACKAGES[AUTHORIZATION],
        "SubjectRulesReviewStatus lists everything that the subject may do.",
        {
            "resourceRules": ("[]@ResourceRule", "The allowed verbs on resources."),
            "nonResourceRules": ("[]@NonResourceRule", "The allowed verbs on paths."),
            "incomplete": ("bool", "Whether rules may be missing."),
            "evaluationError": ("string", "An error during the evaluation."),
        },
        required=("resourceRules", "nonResourceRules", "incomplete"),
    ),
    "ResourceRule": ExternalType(
        _PACKAGES[AUTHORIZATION],
        "ResourceRule lists the allowed verbs on some resources.",
        {
            "verbs": ("[]string", "The verbs; * for all."),
            "apiGroups": ("[]string", "The API groups; * for all."),
            "resources": ("[]string", "The resources; * for all."),
            "resourceNames": ("[]string", "The names; empty for all."),
        },
        required=("verbs",),
    ),
    "NonResourceRule": ExternalType(
        _PACKAGES[AUTHORIZATION],
        "NonResourceRule lists the allowed verbs on some paths.",
        {
            "verbs": ("[]string", "The methods; * for all."),
            "nonResourceURLs": ("[]string", "The paths; a trailing * matches any suffix."),
        },
        required=("verbs",),
    ),
    "SelfSubjectReview": ExternalType(
        _PACKAGES[AUTHENTICATION],
        "SelfSubjectReview returns who the caller is.",
        {
            "metadata": _META,
            "status": ("@SelfSubjectReviewStatus", "The result of the review. Set by the server."),
        },
    ),
    "SelfSubjectReviewStatus": ExternalType(
        _PACKAGES[AUTHENTICATION],
        "SelfSubjectReviewStatus is who the caller is.",
        {"userInfo": ("@UserInfo", "The user.")},
    ),
    "UserInfo": ExternalType(
        _PACKAGES[AUTHENTICATION],
        "UserInfo describes a user.",
        {
            "username": ("string", "The name of the user."),
            "uid": ("string", "The unique id of the user."),
            "groups": ("[]string", "The groups of the user."),
            "extra": ("map[]string", "Additional attributes of the user."),
        },
    ),
    "User": ExternalType(
        _PACKAGES[USER],
        "User is the caller. Only the user named ~ can be read.",
        {
            "metadata": _META,
            "fullName": ("string", "The user's full name."),
            "identities": ("null|[]string", "The identities of the user; always null."),
            "groups": ("null|[]string", "The groups of the user."),
        },
        required=("groups",),
    ),
    "ProjectRequest": ExternalType(
        _PACKAGES[PROJECT],
        "ProjectRequest creates a project, of which the caller becomes admin.",
        {
            "metadata": ("@ObjectMeta", "The name of the project."),
            "displayName": ("string", "The display name of the project."),
            "description": ("string", "What the project is for."),
        },
    ),
}

EXTERNAL_TYPES: dict[str, ExternalType] = _META_TYPES | _ACCESS_TYPES
