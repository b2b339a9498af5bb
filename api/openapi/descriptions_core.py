"""What `kubectl explain` says of metadata, namespaces, secrets, projects and import jobs."""

from __future__ import annotations

from api.openapi.descriptions import OBJECT_META, Words

META_WORDS: Words = {
    "ObjectMeta": {
        "": "ObjectMeta is what every kept object has beside its own fields.",
        "name": "The name, unique among objects of the kind in their namespace. It never changes.",
        "generateName": (
            "The beginning of a name. If name is empty, the server puts five letters behind this."
        ),
        "namespace": "The namespace that the object lives in. It never changes.",
        "uid": "Tells this object from all others, also of the same name. Set by the server.",
        "resourceVersion": (
            "Changes with every write. Sent along with an update, it makes the update fail if "
            "somebody else was faster. Do not compare for order."
        ),
        "generation": "Counts the changes of the spec. Set by the server.",
        "creationTimestamp": "When the object was created. Set by the server.",
        "deletionTimestamp": "When deletion was asked for, of an object that finalizers keep.",
        "labels": "Keys and values to select objects by.",
        "annotations": "Keys and values that tools keep on the object.",
        "ownerReferences": "Objects that this one belongs to. Kept, and not acted on.",
        "finalizers": (
            "Who has to agree before the object is gone. Deletion waits until the list is empty."
        ),
        "managedFields": "Which client wrote which fields. Kept by the server.",
    },
    "ListMeta": {
        "": "ListMeta is what every list has beside its items.",
        "resourceVersion": "The version that the list is of; a watch may begin there.",
        "continue": "Send this back to get the next page; empty on the last one.",
        "remainingItemCount": "How many items come after this page, as far as it is known.",
    },
    "ObjectReference": {
        "": "ObjectReference is a pointer at another object.",
        "kind": "The kind of what is pointed at; it says how name is to be read.",
        "namespace": "The namespace; if empty, that of the object with the reference.",
        "name": "The name, or of a DockerImage the pull spec.",
        "uid": "The uid of what is pointed at.",
        "apiVersion": "The API version of what is pointed at.",
        "resourceVersion": "The version of what is pointed at.",
        "fieldPath": "A part of what is pointed at.",
    },
    "Status": {
        "": "Status is how a request ended that gives back no object.",
        "metadata": "Empty, or where to go on with an expired list.",
        "status": "Success or Failure.",
        "message": "What happened, for people.",
        "reason": "What happened, in one word for programs, such as NotFound or Conflict.",
        "details": "Which object it is about, and what exactly is wrong.",
        "code": "The HTTP code.",
    },
    "Secret": {
        "": (
            "Secret keeps credentials. Those of type kubernetes.io/dockerconfigjson and "
            "kubernetes.io/dockercfg are used when images are imported into the namespace."
        ),
        "metadata": OBJECT_META,
        "data": "The secret's values in base64, by key.",
        "stringData": (
            "Values as plain text, by key. They are put into data when written, and never read "
            "back."
        ),
        "type": "What the secret is for; it decides which keys are needed. It never changes.",
        "immutable": "If true, the values can no longer be changed.",
    },
    "Namespace": {
        "": "Namespace is a room of its own for streams, secrets and import jobs.",
        "metadata": OBJECT_META,
        "spec": "What keeps the namespace from going away. Set by the server.",
        "status": "Whether the namespace is in use or going away. Set by the server.",
    },
    "NamespaceSpec": {
        "": "NamespaceSpec is what keeps a namespace from going away.",
        "finalizers": "Who has to agree before the namespace is gone.",
    },
    "NamespaceStatus": {
        "": "NamespaceStatus is how a namespace stands.",
        "phase": "Active, or Terminating while its contents are deleted.",
        "conditions": "What else is to be known of the namespace.",
    },
    "Project": {
        "": "Project is a namespace as its members see it: only one's own are listed.",
        "metadata": OBJECT_META,
        "spec": "What keeps the project from going away. Set by the server.",
        "status": "Whether the project is in use or going away. Set by the server.",
    },
}

JOB_WORDS: Words = {
    "ImportJob": {
        "": (
            "ImportJob is an import on record: who asked, for what, how far it is and what became "
            "of each tag. Every import has one. Create one to import without waiting; delete one "
            "to cancel it."
        ),
        "metadata": OBJECT_META,
        "spec": "What is to be imported.",
        "status": "How far the job is. Set by the server.",
    },
    "ImportJobSpec": {
        "": (
            "ImportJobSpec is what is to be imported: images and a repository into one stream, or "
            "once more what the streams that reimport selects have imported before."
        ),
        "stream": "The name of the stream to import into.",
        "import": "If false, everything is fetched and nothing is kept.",
        "images": "Single images, each onto a tag.",
        "repository": "A whole repository: each of its tags becomes a tag of the stream.",
        "reimport": "Which streams are to be imported once more.",
        "maxTags": "How many tags of the repository at most; -1 for all.",
        "lane": "Which queue the job waits in: interactive, bulk or scheduled.",
        "trigger": "Who asked: user, schedule, administrator or api. Set by the server.",
        "user": "The user who asked. Set by the server.",
        "parent": "The uid of the reimport that the job is a part of. Set by the server.",
    },
    "ReimportSelector": {
        "": "ReimportSelector is which streams are to be imported once more; empty means all.",
        "streams": "Names of streams, or STREAM:TAG for one tag.",
        "registry": "Only tags that come from this registry.",
        "onlyFailed": "Only tags whose last import failed.",
        "allNamespaces": "Streams of all namespaces, for who may import into all of them.",
        "dryRun": "If true, nothing is imported: the status tells how many requests it would take.",
    },
    "ImportJobStatus": {
        "": "ImportJobStatus is how far a job is, and what came of it.",
        "state": "Queued, Running, Succeeded, Failed or Cancelled.",
        "done": "How many tags are through, well or not; of a reimport, how many of its jobs.",
        "total": "How many there are in all, as far as it is known.",
        "imported": "How many tags were imported.",
        "failed": "How many tags could not be imported.",
        "changed": "How many tags mean another image than before.",
        "withErrors": "Whether a job that succeeded left tags behind that failed.",
        "attempts": "How often a worker has begun the job.",
        "jobs": "How many jobs a reimport was split into, one per stream.",
        "jobsFailed": "How many of those failed, or left tags behind that did.",
        "started": "When a worker took the job up.",
        "finished": "When the job ended.",
        "reason": "Why the whole job failed, in one word.",
        "message": "Why the whole job failed, in a sentence.",
        "targets": "What became of each tag.",
        "additionalTags": "Tags of the repository that were left out because there are too many.",
        "requests": "What a reimport would ask of each registry; only of a dry run.",
        "conditions": "Complete is True when the job has ended.",
    },
    "ImportJobRequests": {
        "": "ImportJobRequests is what a reimport would ask of one registry.",
        "registry": "The registry that would be asked.",
        "requests": (
            "How many requests it takes if nothing has moved: one for each distinct source and "
            "right to see it, and one for each list of tags."
        ),
        "atMost": "How many requests it takes if everything has moved, as far as it is known.",
        "tags": "How many tags would be looked at.",
        "streams": "How many streams those tags belong to.",
    },
    "ImportJobTarget": {
        "": "ImportJobTarget is what became of one tag.",
        "source": "The pull spec that was imported.",
        "tag": "The tag of the source.",
        "to": "The tag of the stream; empty if nothing was kept.",
        "image": "The digest of the image, if there is one.",
        "reason": "Why there is no image, in one word.",
        "message": "Why there is no image, in a sentence.",
        "changed": "Whether the tag means another image than before.",
    },
}
