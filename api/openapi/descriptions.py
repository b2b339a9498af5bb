"""The texts of `kubectl explain` for images, streams and their views, by type.

Each type has a sentence of its own and one for every field; the key `""` is the type's.
"""

from __future__ import annotations

FieldDescriptions = dict[str, dict[str, str]]

OBJECT_META = "Standard object metadata: name, namespace, labels, annotations, version."
_IMPORT_POLICY = "How the image is imported, and whether its source is checked regularly."
_REFERENCE_POLICY = "Which pull address readers of the tag get."

IMAGE_DESCRIPTIONS: FieldDescriptions = {
    "Image": {
        "": (
            "Image is the record of one container image, named by the digest of its manifest. "
            "Images are cluster-scoped; streams refer to them."
        ),
        "metadata": OBJECT_META,
        "dockerImageReference": "The pull spec of the image, by digest.",
        "dockerImageMetadata": (
            "The content of the image's config: Id, Parent, Comment, Created, Author, "
            "Architecture, DockerVersion, Size in bytes, and in Config the User, Env, Cmd, "
            "Entrypoint, WorkingDir, ExposedPorts, Volumes and Labels of a container. A patch "
            "replaces it as a whole."
        ),
        "dockerImageMetadataVersion": "The version of dockerImageMetadata; always 1.0.",
        "dockerImageManifest": (
            "The text of the manifest. Imports leave it out; includeManifest returns it."
        ),
        "dockerImageLayers": "The layers, base layer first. Empty for an index of platforms.",
        "signatures": "Signatures of the image. Write them through imagesignatures.",
        "dockerImageSignatures": (
            "Signatures in base64 from inside a schema 1 manifest. They never change once set."
        ),
        "dockerImageManifestMediaType": "The media type of the manifest.",
        "dockerImageConfig": (
            "The text of the config, a JSON document. Imports leave it out; includeManifest "
            "returns it."
        ),
        "dockerImageManifests": (
            "The manifests that an index lists, one per platform; each is an Image of its own "
            "after an import with importMode PreserveOriginal."
        ),
    },
    "ImageLayer": {
        "": "ImageLayer is one layer of an image, as its manifest lists it.",
        "name": "The digest of the layer's blob.",
        "size": "The size of the compressed blob in bytes.",
        "mediaType": "The media type of the blob.",
    },
    "ImageManifest": {
        "": "ImageManifest is one entry of an index: the image of one platform.",
        "digest": "The digest of the manifest; the name of its Image.",
        "mediaType": "The media type of the manifest.",
        "manifestSize": "The size of the manifest in bytes, as the index declares it.",
        "architecture": "The CPU architecture of the image, such as amd64 or arm64.",
        "os": "The operating system of the image, such as linux.",
        "variant": "The variant of the CPU, such as v7 or v8.",
    },
    "ImageSignature": {
        "": (
            "ImageSignature is a signature of one image. Its name is the image's name, @, and a "
            "name of its own. The server stores signatures and does not verify them."
        ),
        "metadata": OBJECT_META,
        "type": "The format of the content; usually AtomicImageV1.",
        "content": "The signature itself, as opaque bytes in base64.",
        "conditions": "The results of verifications. Ignored when sent by clients.",
        "imageIdentity": "The pull spec that was signed. Ignored when sent by clients.",
        "signedClaims": "The claims of the signature. Ignored when sent by clients.",
        "created": "The signing time, as the signature claims. Ignored when sent by clients.",
        "issuedBy": "The issuer of the signing certificate. Ignored when sent by clients.",
        "issuedTo": "The owner of the signing key. Ignored when sent by clients.",
    },
    "SignatureCondition": {
        "": "SignatureCondition is one result of the verification of a signature.",
        "type": "The type of the condition: Complete or Failed.",
        "status": "Whether the condition holds: True, False or Unknown.",
        "lastProbeTime": "When the condition was last checked.",
        "lastTransitionTime": "When the status last changed.",
        "reason": "Why the status last changed, as a CamelCase word.",
        "message": "Why the status last changed, as a sentence.",
    },
    "SignatureIssuer": {
        "": "SignatureIssuer is the issuer of a signing certificate.",
        "organization": "The organization.",
        "commonName": "The common name, such as the authority's name.",
    },
    "SignatureSubject": {
        "": "SignatureSubject is the owner of a signing key.",
        "organization": "The organization.",
        "commonName": "The common name, such as the signer's name.",
        "publicKeyID": "The id of the public key that verifies the signature.",
    },
    "ImageStream": {
        "": (
            "ImageStream is a named set of tags in a namespace. Its spec defines each tag and "
            "where it is imported from; its status lists, newest first, which images each tag has "
            "pointed to and since when."
        ),
        "metadata": OBJECT_META,
        "spec": "The desired tags of the stream.",
        "status": "The observed tags; written by imports, pushes and tagging.",
    },
    "ImageStreamSpec": {
        "": "ImageStreamSpec is the desired state of a stream.",
        "lookupPolicy": "Whether workloads may name the stream as if it were an image.",
        "dockerImageRepository": (
            "A repository whose tags all become tags of the stream. Without tag or digest."
        ),
        "tags": "The desired tags, each name once, sorted by name.",
    },
    "ImageStreamStatus": {
        "": "ImageStreamStatus is the observed state of a stream's tags.",
        "dockerImageRepository": (
            "The internal address at which the stream's images can be pulled and pushed, if an "
            "internal registry is configured."
        ),
        "publicDockerImageRepository": "The external form of that address, if configured.",
        "tags": (
            "The history of every tag, sorted by name. It stays when the tag is removed from the "
            "spec."
        ),
    },
    "ImageLookupPolicy": {
        "": "ImageLookupPolicy says how the names of a stream are resolved.",
        "local": (
            "Whether workloads of the namespace that name the stream as an image get its tag's "
            "image instead. Stored without effect."
        ),
    },
    "TagReference": {
        "": "TagReference is the desired state of one tag.",
        "name": "The name of the tag.",
        "annotations": (
            "Annotations of the tag, shown on its image stream tag too. The annotations "
            "importer.image.openshift.io/prefer-arch and prefer-os choose a platform."
        ),
        "from": (
            "The source of the tag: a DockerImage of a registry, an ImageStreamTag to track, or "
            "an ImageStreamImage. Without it, images are pushed to the tag."
        ),
        "reference": ("If true, nothing is imported: the tag only passes on the address in from."),
        "generation": (
            "The generation of the desired state of this tag; set by the server. A tag event with "
            "the same or a later generation was recorded for it. Set it to 0 or leave it out to "
            "import again."
        ),
        "importPolicy": _IMPORT_POLICY,
        "referencePolicy": _REFERENCE_POLICY,
    },
    "TagImportPolicy": {
        "": "TagImportPolicy says how a tag is imported.",
        "insecure": (
            "If true, the registry's certificate is not verified, and plain HTTP is allowed."
        ),
        "scheduled": "If true, the source is checked regularly.",
        "importMode": (
            "How an index is imported: Legacy imports the image of one platform, PreserveOriginal "
            "the index and all its images. Empty means the server's default, usually Legacy."
        ),
    },
    "TagReferencePolicy": {
        "": "TagReferencePolicy says which pull address readers of a tag get.",
        "type": (
            "Source: the address that the image was imported from. Local: the address in the "
            "internal registry, if one is configured. Empty means Source."
        ),
    },
    "NamedTagEventList": {
        "": "NamedTagEventList is the history of one tag.",
        "tag": "The name of the tag.",
        "items": "The images that the tag has pointed to, newest first.",
        "conditions": "Problems of the tag, such as a failed import; empty if there are none.",
    },
    "TagEvent": {
        "": "TagEvent is one image that a tag has pointed to, and since when.",
        "created": "Since when the tag has pointed to the image.",
        "dockerImageReference": "The pull spec of the image.",
        "image": "The digest of the image; the name of its Image.",
        "generation": "The generation of the spec tag that the event was recorded for.",
    },
    "TagEventCondition": {
        "": "TagEventCondition is one aspect of the current state of a tag.",
        "type": "The type of the condition; only ImportSuccess is in use.",
        "status": "Whether the condition holds: True, False or Unknown.",
        "lastTransitionTime": "When the status last changed.",
        "reason": "A CamelCase word, such as NotFound, Unauthorized or InternalError.",
        "message": "What failed, as a sentence.",
        "generation": "The generation of the spec tag whose import was tried.",
    },
    "ImageStreamTag": {
        "": (
            "ImageStreamTag is one tag of a stream with the image that it points to. Its name is "
            "the stream's name, a colon, and the tag. Writing one changes the stream."
        ),
        "metadata": "The stream's metadata under the tag's name, with the tag's annotations.",
        "tag": "The spec tag; null if the stream's spec does not contain it.",
        "generation": "The generation of the newest event of the tag.",
        "lookupPolicy": "The stream's lookup policy.",
        "conditions": "Problems of the tag, such as a failed import; empty if there are none.",
        "image": "The image that the tag points to.",
    },
    "ImageTag": {
        "": (
            "ImageTag is one tag of a stream: its spec, its history and its image, as far as they "
            "exist. Its name is the stream's name, a colon, and the tag."
        ),
        "metadata": "The stream's metadata under the tag's name, with the tag's annotations.",
        "spec": "The spec tag; null if the stream's spec does not contain it.",
        "status": "The history of the tag; null if it has none.",
        "image": "The image that the tag points to; null if there is none.",
    },
    "ImageStreamImage": {
        "": (
            "ImageStreamImage is one image of a stream's history. Its name is the stream's name, "
            "@, and the image's digest, which may be abbreviated."
        ),
        "metadata": "The stream's metadata under the image's name.",
        "image": "The image.",
    },
    "ImageStreamMapping": {
        "": (
            "ImageStreamMapping sets a pushed image on a tag of the stream that metadata.name "
            "names. It can only be created, and is not stored."
        ),
        "metadata": "The name of the stream.",
        "image": "The image; created if there is none of that name.",
        "tag": "The tag that is set to the image.",
    },
    "ImageStreamLayers": {
        "": "ImageStreamLayers lists every blob that the images of a stream consist of.",
        "metadata": OBJECT_META,
        "blobs": "Size and media type of each blob, by digest.",
        "images": "The blobs of each image, by the image's digest.",
    },
    "ImageLayerData": {
        "": "ImageLayerData describes a blob.",
        "size": "The size of the blob in bytes; null if it is not known.",
        "mediaType": "The media type of the blob; may be empty.",
    },
    "ImageBlobReferences": {
        "": "ImageBlobReferences lists the blobs of one image.",
        "imageMissing": "Whether the image is in the stream's history but no longer stored.",
        "layers": "The digests of the layers, base layer first.",
        "config": "The digest of the config, if the image has one.",
        "manifests": "The digests of the manifests that an index lists.",
    },
    "SecretList": {
        "": "SecretList is the list of pull secrets of a stream's namespace.",
        "metadata": "The version of the list.",
        "items": "The secrets.",
    },
}

IMPORT_DESCRIPTIONS: FieldDescriptions = {
    "ImageStreamImport": {
        "": (
            "ImageStreamImport imports images from registries into the stream that metadata.name "
            "names, which is created if it does not exist. It can only be created; the response "
            "contains the result of each image, including failures."
        ),
        "metadata": "The name of the stream. A resourceVersion must be the stream's current one.",
        "spec": "What to import.",
        "status": "The result; set by the server.",
    },
    "ImageStreamImportSpec": {
        "": "ImageStreamImportSpec is what to import: single images, a repository, or both.",
        "import": "If false, everything is fetched and returned, and nothing is stored.",
        "repository": "A whole repository: each of its tags becomes a tag of the stream.",
        "images": "Single images, each with its tag.",
    },
    "ImageImportSpec": {
        "": "ImageImportSpec is one image to import.",
        "from": "The image, of kind DockerImage; name is its pull spec.",
        "to": (
            "The tag of the stream. By default the tag of the source; an image named by digest is "
            "then only returned."
        ),
        "importPolicy": _IMPORT_POLICY,
        "referencePolicy": _REFERENCE_POLICY,
        "includeManifest": "Whether the response contains the texts of manifest and config.",
    },
    "RepositoryImportSpec": {
        "": "RepositoryImportSpec is a whole repository to import.",
        "from": "The repository, of kind DockerImage; name has neither tag nor digest.",
        "importPolicy": _IMPORT_POLICY,
        "referencePolicy": _REFERENCE_POLICY,
        "includeManifest": "Whether the response contains the texts of manifests and configs.",
    },
    "ImageStreamImportStatus": {
        "": "ImageStreamImportStatus is the result of an import.",
        "import": "The stream after the import; left out if nothing was stored.",
        "repository": "The result of the repository.",
        "images": "The result of each image, in the order of the request.",
    },
    "ImageImportStatus": {
        "": "ImageImportStatus is the result of importing one image.",
        "status": "Success, or why the image could not be imported.",
        "image": "The image, if it was imported.",
        "tag": "The tag of the source; left out for digests.",
        "manifests": "The images of an index, if all of them were imported.",
    },
    "RepositoryImportStatus": {
        "": "RepositoryImportStatus is the result of importing a repository.",
        "status": "Success, or why the list of tags could not be fetched.",
        "images": "The result of each tag that was imported.",
        "additionalTags": "Tags of the repository that were left out because there are too many.",
    },
    "LocalObjectReference": {
        "": "LocalObjectReference refers to an object by its name.",
        "name": "The name.",
    },
}
