"""Types that no model of ours stands behind: reviews, users, and the furniture of metadata.

A field is a type, in the notation of `types.py`, and what `kubectl explain` says of it. `@Name`
is a type of this list or the name of a model.
"""

from __future__ import annotations

from dataclasses import dataclass

from api.openapi.descriptions import OBJECT_META
from api.served_resources import AUTHENTICATION, AUTHORIZATION, PROJECT, USER

Fields = dict[str, tuple[str, str]]

_META = ("@ObjectMeta", OBJECT_META)


@dataclass(frozen=True, slots=True)
class Made:
    """A type made by hand. `package` is where its schema's name begins."""

    package: str
    about: str
    fields: Fields
    required: tuple[str, ...] = ()


META = "io.k8s.apimachinery.pkg.apis.meta.v1"
CORE = "io.k8s.api.core.v1"
_PACKAGES = {
    AUTHORIZATION: "io.k8s.api.authorization.v1",
    AUTHENTICATION: "io.k8s.api.authentication.v1",
    PROJECT: "com.github.openshift.api.project.v1",
    USER: "com.github.openshift.api.user.v1",
}

_MAY: Fields = {
    "resourceAttributes": ("@ResourceAttributes", "What is to be done to which resource."),
    "nonResourceAttributes": ("@NonResourceAttributes", "What is to be done to which path."),
}
_WHO: Fields = {
    "user": ("string", "The user who would do it."),
    "groups": ("[]string", "The groups that the user is in."),
    "uid": ("string", "The user's uid."),
    "extra": ("map[]string", "What else is known of the user."),
}
_ACCESS_REVIEW: Fields = {
    "metadata": _META,
    "status": ("@SubjectAccessReviewStatus", "The answer. Set by the server."),
}


def _review(about: str, spec: str) -> Made:
    fields = {**_ACCESS_REVIEW, "spec": (f"@{spec}", "The question.")}
    return Made(_PACKAGES[AUTHORIZATION], about, fields, required=("spec",))


_META_TYPES: dict[str, Made] = {
    "OwnerReference": Made(
        META,
        "OwnerReference names an object that another one belongs to.",
        {
            "apiVersion": ("string", "The API version of the owner."),
            "kind": ("string", "The kind of the owner."),
            "name": ("string", "The name of the owner."),
            "uid": ("string", "The uid of the owner."),
            "controller": ("bool", "Whether the owner manages the object."),
            "blockOwnerDeletion": ("bool", "Whether the owner waits for the object to go first."),
        },
        required=("apiVersion", "kind", "name", "uid"),
    ),
    "ManagedFieldsEntry": Made(
        META,
        "ManagedFieldsEntry says which fields one client wrote.",
        {
            "manager": ("string", "The name under which the client writes."),
            "operation": ("string", "How it wrote: Apply or Update."),
            "apiVersion": ("string", "The version that the fields are named in."),
            "time": ("time", "When it last wrote."),
            "fieldsType": ("string", "The form of the fields; FieldsV1."),
            "fieldsV1": ("object", "The fields, as a tree of their names."),
            "subresource": ("string", "The part of the object that was written to."),
        },
    ),
    "StatusDetails": Made(
        META,
        "StatusDetails is which object a Status is about, and what exactly is wrong.",
        {
            "name": ("string", "The name of the object."),
            "group": ("string", "The API group of the object."),
            "kind": ("string", "The resource or kind of the object."),
            "uid": ("string", "The uid of the object."),
            "causes": ("[]@StatusCause", "Everything that is wrong, one by one."),
            "retryAfterSeconds": ("int32", "When to try again."),
        },
    ),
    "StatusCause": Made(
        META,
        "StatusCause is one thing that is wrong.",
        {
            "reason": ("string", "What is wrong, in one word."),
            "message": ("string", "What is wrong, in a sentence."),
            "field": ("string", "The field that it is wrong with."),
        },
    ),
    "DeleteOptions": Made(
        META,
        "DeleteOptions says how, and on which conditions, an object is deleted.",
        {
            "gracePeriodSeconds": ("int64", "Taken and not acted on."),
            "preconditions": ("@Preconditions", "What has to be so, or nothing is deleted."),
            "orphanDependents": ("bool", "The old form of propagationPolicy."),
            "propagationPolicy": (
                "string",
                "Foreground, Background or Orphan. All mean Background here.",
            ),
            "dryRun": ("[]string", "All: everything is checked and nothing is deleted."),
        },
    ),
    "Preconditions": Made(
        META,
        "Preconditions is what has to be so before an object is deleted.",
        {
            "uid": ("string", "The uid that the object has to have."),
            "resourceVersion": ("string", "The version that the object has to have."),
        },
    ),
    "Condition": Made(
        META,
        "Condition is something to know about an object's present state.",
        {
            "type": ("string", "What is judged."),
            "status": ("string", "Whether it is so: True, False or Unknown."),
            "observedGeneration": ("int64", "The generation that was judged."),
            "lastTransitionTime": ("time", "When the status last changed."),
            "reason": ("string", "Why, in one word."),
            "message": ("string", "Why, in a sentence."),
        },
        required=("type", "status"),
    ),
    "Patch": Made(META, "Patch is what of an object is to be changed.", {}),
    "WatchEvent": Made(
        META,
        "WatchEvent is one line of a watch: what became of an object.",
        {
            "type": ("string", "ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."),
            "object": ("object", "The object after the change, or before it was deleted."),
        },
        required=("type", "object"),
    ),
    "NamespaceCondition": Made(
        CORE,
        "NamespaceCondition is something to know about a namespace that is going away.",
        {
            "type": ("string", "What is judged."),
            "status": ("string", "Whether it is so: True, False or Unknown."),
            "lastTransitionTime": ("time", "When the status last changed."),
            "reason": ("string", "Why, in one word."),
            "message": ("string", "Why, in a sentence."),
        },
        required=("type", "status"),
    ),
}

_ACCESS_TYPES: dict[str, Made] = {
    "SelfSubjectAccessReview": _review(
        "SelfSubjectAccessReview asks whether the caller may do something.",
        "SelfSubjectAccessReviewSpec",
    ),
    "SubjectAccessReview": _review(
        "SubjectAccessReview asks whether somebody may do something.", "SubjectAccessReviewSpec"
    ),
    "LocalSubjectAccessReview": _review(
        "LocalSubjectAccessReview asks whether somebody may do something in one namespace.",
        "SubjectAccessReviewSpec",
    ),
    "SelfSubjectAccessReviewSpec": Made(
        _PACKAGES[AUTHORIZATION],
        "SelfSubjectAccessReviewSpec is a question with one of two kinds of attributes.",
        _MAY,
    ),
    "SubjectAccessReviewSpec": Made(
        _PACKAGES[AUTHORIZATION],
        "SubjectAccessReviewSpec is a question about somebody, with one of two kinds of "
        "attributes.",
        _MAY | _WHO,
    ),
    "SubjectAccessReviewStatus": Made(
        _PACKAGES[AUTHORIZATION],
        "SubjectAccessReviewStatus is the answer to an access review.",
        {
            "allowed": ("bool", "Whether it may be done."),
            "denied": ("bool", "Whether it is expressly forbidden."),
            "reason": ("string", "Why."),
            "evaluationError": ("string", "What could not be looked at."),
        },
        required=("allowed",),
    ),
    "ResourceAttributes": Made(
        _PACKAGES[AUTHORIZATION],
        "ResourceAttributes is something done to a resource.",
        {
            "namespace": ("string", "The namespace; empty for all, or for none."),
            "verb": ("string", "What is done, such as get, list or create; * for anything."),
            "group": ("string", "The API group; * for all."),
            "version": ("string", "The API version; * for all."),
            "resource": ("string", "The resource, such as imagestreams; * for all."),
            "subresource": ("string", "The part of the resource, such as status."),
            "name": ("string", "The name; empty for all."),
            "fieldSelector": ("object", "Which of them, by field."),
            "labelSelector": ("object", "Which of them, by label."),
        },
    ),
    "NonResourceAttributes": Made(
        _PACKAGES[AUTHORIZATION],
        "NonResourceAttributes is something done to a path that is no resource.",
        {
            "path": ("string", "The path."),
            "verb": ("string", "The method, such as get."),
        },
    ),
    "SelfSubjectRulesReview": Made(
        _PACKAGES[AUTHORIZATION],
        "SelfSubjectRulesReview asks for everything that the caller may do in a namespace.",
        {
            "metadata": _META,
            "spec": ("@SelfSubjectRulesReviewSpec", "The question."),
            "status": ("@SubjectRulesReviewStatus", "The answer. Set by the server."),
        },
        required=("spec",),
    ),
    "SelfSubjectRulesReviewSpec": Made(
        _PACKAGES[AUTHORIZATION],
        "SelfSubjectRulesReviewSpec is which namespace is asked about.",
        {"namespace": ("string", "The namespace.")},
    ),
    "SubjectRulesReviewStatus": Made(
        _PACKAGES[AUTHORIZATION],
        "SubjectRulesReviewStatus is everything that somebody may do.",
        {
            "resourceRules": ("[]@ResourceRule", "What may be done to which resources."),
            "nonResourceRules": ("[]@NonResourceRule", "What may be done to which paths."),
            "incomplete": ("bool", "Whether there may be more."),
            "evaluationError": ("string", "What could not be looked at."),
        },
        required=("resourceRules", "nonResourceRules", "incomplete"),
    ),
    "ResourceRule": Made(
        _PACKAGES[AUTHORIZATION],
        "ResourceRule is what may be done to some resources.",
        {
            "verbs": ("[]string", "What may be done; * for anything."),
            "apiGroups": ("[]string", "The API groups; * for all."),
            "resources": ("[]string", "The resources; * for all."),
            "resourceNames": ("[]string", "The names; empty for all."),
        },
        required=("verbs",),
    ),
    "NonResourceRule": Made(
        _PACKAGES[AUTHORIZATION],
        "NonResourceRule is what may be done to some paths.",
        {
            "verbs": ("[]string", "The methods; * for all."),
            "nonResourceURLs": ("[]string", "The paths; a * at the end stands for any."),
        },
        required=("verbs",),
    ),
    "SelfSubjectReview": Made(
        _PACKAGES[AUTHENTICATION],
        "SelfSubjectReview asks who the caller is.",
        {
            "metadata": _META,
            "status": ("@SelfSubjectReviewStatus", "The answer. Set by the server."),
        },
    ),
    "SelfSubjectReviewStatus": Made(
        _PACKAGES[AUTHENTICATION],
        "SelfSubjectReviewStatus is who the caller is.",
        {"userInfo": ("@UserInfo", "The user.")},
    ),
    "UserInfo": Made(
        _PACKAGES[AUTHENTICATION],
        "UserInfo is what is known of a user.",
        {
            "username": ("string", "The name."),
            "uid": ("string", "Tells this user from all others."),
            "groups": ("[]string", "The groups that the user is in."),
            "extra": ("map[]string", "What else is known."),
        },
    ),
    "User": Made(
        _PACKAGES[USER],
        "User is whoever asks. Only the user named ~, the caller, can be read.",
        {
            "metadata": _META,
            "fullName": ("string", "The user's full name."),
            "identities": ("null|[]string", "Where the user is known from; none here."),
            "groups": ("null|[]string", "The groups that the user is in."),
        },
        required=("groups",),
    ),
    "ProjectRequest": Made(
        _PACKAGES[PROJECT],
        "ProjectRequest asks for a new project, of which the caller becomes admin.",
        {
            "metadata": ("@ObjectMeta", "Names the project."),
            "displayName": ("string", "A name for people."),
            "description": ("string", "What the project is for."),
        },
    ),
}

HANDMADE: dict[str, Made] = _META_TYPES | _ACCESS_TYPES
