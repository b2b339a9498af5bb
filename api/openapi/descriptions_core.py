"""The texts of `kubectl explain` for metadata, namespaces, secrets, projects and import jobs."""

from __future__ import annotations

from api.openapi.descriptions import OBJECT_META, FieldDescriptions

META_DESCRIPTIONS: FieldDescriptions = {
    "ObjectMeta": {
        "": "ObjectMeta is the metadata that every stored object has.",
        "name": "The name, unique among objects of the kind in their namespace. It never changes.",
        "generateName": (
            "The prefix of a generated name. If name is empty, the server appends five random "
            "characters to it."
        ),
        "namespace": "The namespace of the object. It never changes.",
        "uid": "The unique id of this object, also among objects of one name. Set by the server.",
        "resourceVersion": (
            "The version of the object; it changes with every write. An update that contains it "
            "fails if the object has been changed since. Do not compare versions for order."
        ),
        "generation": "The number of changes of the spec. Set by the server.",
        "creationTimestamp": "When the object was created. Set by the server.",
        "deletionTimestamp": "When deletion was requested, if finalizers hold the object.",
        "labels": "Keys and values to select objects by.",
        "annotations": "Keys and values that tools store on the object.",
        "ownerReferences": "The objects that own this one. Stored without effect.",
        "finalizers": (
            "Names that have to be removed before the object is deleted. A deletion waits until "
            "the list is empty."
        ),
        "managedFields": "Which field manager owns which fields. Set by the server.",
    },
    "ListMeta": {
        "": "ListMeta is the metadata of a list.",
        "resourceVersion": "The version of the list; a watch may begin there.",
        "continue": "The token of the next page; empty on the last one.",
        "remainingItemCount": "How many items follow this page, if known.",
    },
    "ObjectReference": {
        "": "ObjectReference refers to another object.",
        "kind": "The kind of the object; it determines the form of name.",
        "namespace": "The namespace; if empty, that of the object with the reference.",
        "name": "The name; of a DockerImage the pull spec.",
        "uid": "The uid of the object.",
        "apiVersion": "The API version of the object.",
        "resourceVersion": "The version of the object.",
        "fieldPath": "A part of the object.",
    },
    "Status": {
        "": "Status is the result of a request that returns no object.",
        "metadata": "Empty, or the continue token of an expired list.",
        "status": "Success or Failure.",
        "message": "What happened, as a sentence.",
        "reason": "What happened, as a CamelCase word, such as NotFound or Conflict.",
        "details": "The object that the status is about, and the causes of a failure.",
        "code": "The HTTP status code.",
    },
    "Secret": {
        "": (
            "Secret stores credentials. Those of type kubernetes.io/dockerconfigjson and "
            "kubernetes.io/dockercfg are used when images are imported into the namespace."
        ),
        "metadata": OBJECT_META,
        "data": "The secret's values in base64, by key.",
        "stringData": (
            "Values as plain text, by key. They are written into data and never returned."
        ),
        "type": "The type of the secret; it determines the required keys. It never changes.",
        "immutable": "If true, the values can no longer be changed.",
    },
    "Namespace": {
        "": "Namespace isolates the streams, secrets and import jobs of a tenant.",
        "metadata": OBJECT_META,
        "spec": "The finalizers of the namespace. Set by the server.",
        "status": "Whether the namespace is active or being deleted. Set by the server.",
    },
    "NamespaceSpec": {
        "": "NamespaceSpec lists the finalizers of a namespace.",
        "finalizers": "Names that have to be removed before the namespace is deleted.",
    },
    "NamespaceStatus": {
        "": "NamespaceStatus is the observed state of a namespace.",
        "phase": "Active, or Terminating while its contents are deleted.",
        "conditions": "Further aspects of the state of the namespace.",
    },
    "Project": {
        "": (
            "Project is a namespace as its members see it. A list contains only those in which "
            "the caller has a role."
        ),
        "metadata": OBJECT_META,
        "spec": "The finalizers of the project. Set by the server.",
        "status": "Whether the project is active or being deleted. Set by the server.",
    },
}

JOB_DESCRIPTIONS: FieldDescriptions = {
    "ImportJob": {
        "": (
            "ImportJob is a recorded import: who requested it, its progress, and the result of "
            "each tag. Every import has one. Create one to import without waiting; delete one to "
            "cancel it."
        ),
        "metadata": OBJECT_META,
        "spec": "What is to be imported.",
        "status": "The progress and the result of the job. Set by the server.",
    },
    "ImportJobSpec": {
        "": (
            "ImportJobSpec is what is to be imported: images and a repository into one stream, or "
            "the streams that reimport selects, once more."
        ),
        "stream": "The name of the stream to import into.",
        "import": "If false, everything is fetched and nothing is stored.",
        "images": "Single images, each for one tag.",
        "repository": "A whole repository: each of its tags becomes a tag of the stream.",
        "reimport": "The streams that are to be imported once more.",
        "maxTags": "The maximum number of tags of the repository; -1 for all.",
        "priority": "The queue of the job: Interactive, Bulk or Scheduled.",
        "trigger": (
            "What caused the job: User, Schedule, Administrator or API. Set by the server."
        ),
        "user": "The user who requested the job. Set by the server.",
        "parent": "The uid of the reimport that the job is a part of. Set by the server.",
    },
    "ReimportSelector": {
        "": "ReimportSelector selects streams to be imported once more; empty means all.",
        "streams": "Names of streams, or STREAM:TAG for one tag.",
        "registry": "Only tags that come from this registry.",
        "onlyFailed": "Only tags whose last import failed.",
        "allNamespaces": "Streams of all namespaces; the caller must be allowed to import there.",
        "dryRun": "If true, nothing is imported: status.estimate is the number of requests.",
    },
    "ImportJobStatus": {
        "": "ImportJobStatus is the progress and the result of a job.",
        "state": "Queued, Running, Succeeded, Failed or Cancelled.",
        "tagsCompleted": "The number of tags of an import that are fetched, or have failed.",
        "tagsTotal": "The number of tags of an import, as far as it is known.",
        "tagsNew": "The number of tags that had no image before.",
        "tagsUpdated": "The number of tags that point to another image than before.",
        "tagsUnchanged": "The number of tags whose image is the one of before.",
        "tagsFailed": "The number of tags that could not be imported.",
        "jobsCompleted": "The number of jobs of a reimport that have ended.",
        "jobsTotal": "The number of jobs of a reimport, one for each stream.",
        "jobsFailed": "The number of jobs of a reimport that failed, or have tags that did.",
        "attempts": "How often a worker has started the job.",
        "startTime": "When a worker first started the job.",
        "completionTime": "When the job ended.",
        "reason": "Why the job, or some of its tags, failed, as a CamelCase word.",
        "message": "Why the job, or some of its tags, failed, as a sentence.",
        "targets": "The result of each tag.",
        "additionalTags": "Tags of the repository that exceed the maximum number.",
        "estimate": "The estimated requests to each registry; only of a dry run.",
        "conditions": (
            "Complete is True when the job has ended without failing; PartiallyFailed is True "
            "beside it if some tags failed. Failed is True if the job failed, was cancelled, or if "
            "every tag failed."
        ),
    },
    "ImportJobEstimate": {
        "": "ImportJobEstimate is the estimated number of requests to one registry.",
        "registry": "The registry.",
        "minRequests": (
            "The number of requests if no source has changed: one for each distinct source and "
            "credential, and one for each tag list."
        ),
        "maxRequests": "The number of requests if every source has changed, as far as it is known.",
        "tags": "The number of tags that would be checked.",
        "streams": "The number of streams of those tags.",
    },
    "ImportJobTarget": {
        "": "ImportJobTarget is the result of one tag.",
        "source": "The pull spec that was imported.",
        "tag": "The tag of the source.",
        "streamTag": "The tag of the stream; empty if nothing was stored.",
        "image": "The digest of the image, if there is one.",
        "outcome": (
            "new, if the tag had no image before; updated, if it points to another image than "
            "before; unchanged; or failed."
        ),
        "reason": "Why there is no image, as a CamelCase word.",
        "message": "Why there is no image, as a sentence.",
    },
}
