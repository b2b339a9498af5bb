"""What `kubectl explain` says of images, streams and their views, type by type.

Each type has a sentence of its own and one for every field; `""` is the type's.
"""

from __future__ import annotations

Words = dict[str, dict[str, str]]

OBJECT_META = "Name, namespace, labels, annotations, and what the server notes of the object."
_IMPORT_POLICY = "How the import is carried out, and whether it is repeated."
_REFERENCE_POLICY = "Which address readers of the tag are given."

IMAGE_WORDS: Words = {
    "Image": {
        "": (
            "Image is the record of one container image, named by the digest of its manifest. "
            "Images belong to the whole server; streams point at them."
        ),
        "metadata": OBJECT_META,
        "dockerImageReference": "Where the image can be pulled from, by digest.",
        "dockerImageMetadata": (
            "What the image's config says: Id, Parent, Comment, Created, Author, Architecture, "
            "DockerVersion, Size in bytes, and in Config the User, Env, Cmd, Entrypoint, "
            "WorkingDir, ExposedPorts, Volumes and Labels of a container. Kept as one piece."
        ),
        "dockerImageMetadataVersion": "The version of dockerImageMetadata; always 1.0.",
        "dockerImageManifest": (
            "The manifest's text. Imports leave it out; ask for it with includeManifest."
        ),
        "dockerImageLayers": "The layers, the base first. Empty for an index of platforms.",
        "signatures": "Signatures of the image. Write them through imagesignatures.",
        "dockerImageSignatures": (
            "Signatures in base64 that came inside a schema 1 manifest. Once set, they stay."
        ),
        "dockerImageManifestMediaType": "The media type of the manifest.",
        "dockerImageConfig": (
            "The config's text, a JSON document. Imports leave it out; ask for it with "
            "includeManifest."
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
        "architecture": "The CPU that the image runs on, such as amd64 or arm64.",
        "os": "The operating system that the image runs on, such as linux.",
        "variant": "The variant of the CPU, such as v7 or v8.",
    },
    "ImageSignature": {
        "": (
            "ImageSignature is a signature of one image. Its name is the image's name, @, and a "
            "name of its own. The server keeps signatures and does not verify them."
        ),
        "metadata": OBJECT_META,
        "type": "The form of the content; AtomicImageV1 is the usual one.",
        "content": "The signature itself, as opaque bytes in base64.",
        "conditions": "What verifiers said of the signature. Not taken from clients.",
        "imageIdentity": "The pull spec that was signed. Not taken from clients.",
        "signedClaims": "What the signature claims of the image. Not taken from clients.",
        "created": "When the signature was made, as it says itself. Not taken from clients.",
        "issuedBy": "Who made the signing certificate. Not taken from clients.",
        "issuedTo": "Whom the signing key belongs to. Not taken from clients.",
    },
    "SignatureCondition": {
        "": "SignatureCondition is one thing that a verifier said of a signature.",
        "type": "What is judged: Complete or Failed.",
        "status": "Whether it is so: True, False or Unknown.",
        "lastProbeTime": "When it was last looked at.",
        "lastTransitionTime": "When the status last changed.",
        "reason": "One word on the last change.",
        "message": "A sentence on the last change.",
    },
    "SignatureIssuer": {
        "": "SignatureIssuer is whoever made a signing certificate.",
        "organization": "The organization.",
        "commonName": "The common name, such as the authority's name.",
    },
    "SignatureSubject": {
        "": "SignatureSubject is whoever a signing key belongs to.",
        "organization": "The organization.",
        "commonName": "The common name, such as the signer's name.",
        "publicKeyID": "The id of the public key that verifies the signature.",
    },
    "ImageStream": {
        "": (
            "ImageStream is a named set of tags in a namespace. Its spec says what each tag is "
            "wished to be and where it is imported from; its status remembers, newest first, "
            "which image each tag has meant and since when."
        ),
        "metadata": OBJECT_META,
        "spec": "What the stream's owner asks for.",
        "status": "What was seen; written by imports, pushes and tagging.",
    },
    "ImageStreamSpec": {
        "": "ImageStreamSpec is what the owner of a stream asks for.",
        "lookupPolicy": "Whether workloads may name the stream as if it were an image.",
        "dockerImageRepository": (
            "A repository whose tags all become tags of the stream. Names no tag or digest."
        ),
        "tags": "The tags that are wished for, each name once, kept sorted by name.",
    },
    "ImageStreamStatus": {
        "": "ImageStreamStatus is what was seen of a stream's tags.",
        "dockerImageRepository": (
            "The address at which the stream's images can be pulled and pushed inside, if there "
            "is a registry of our own."
        ),
        "publicDockerImageRepository": "The same address as seen from outside, if there is one.",
        "tags": "The history of every tag, sorted by name. A tag may outlive its wish.",
    },
    "ImageLookupPolicy": {
        "": "ImageLookupPolicy says how the names of a stream are looked up.",
        "local": (
            "Whether workloads of the namespace that name the stream as an image are given its "
            "tag's image instead."
        ),
    },
    "TagReference": {
        "": "TagReference is what somebody wants a tag to be.",
        "name": "The name of the tag.",
        "annotations": (
            "Notes on the tag, shown on its image stream tag too. The annotations "
            "importer.image.openshift.io/prefer-arch and prefer-os choose a platform."
        ),
        "from": (
            "Where the tag comes from: a DockerImage of a registry, an ImageStreamTag to follow, "
            "or an ImageStreamImage. None: images are pushed to it."
        ),
        "reference": (
            "If true, nothing is imported: the tag only passes on the address that it names."
        ),
        "generation": (
            "Counts the wishes for this tag; the server sets it. A tag event with the same or a "
            "later generation answers this wish. Set it to 0 or leave it out to import anew."
        ),
        "importPolicy": _IMPORT_POLICY,
        "referencePolicy": _REFERENCE_POLICY,
    },
    "TagImportPolicy": {
        "": "TagImportPolicy says how a tag is imported.",
        "insecure": (
            "If true, the registry's certificate is not verified, and plain http will do."
        ),
        "scheduled": "If true, the source is looked at again from time to time.",
        "importMode": (
            "What becomes of an index: Legacy takes the image of one platform, PreserveOriginal "
            "keeps the index and all its images. Empty means Legacy."
        ),
    },
    "TagReferencePolicy": {
        "": "TagReferencePolicy says which address readers of a tag are given.",
        "type": (
            "Source: the address that the image was imported from. Local: that of our own "
            "registry, if there is one. Empty means Source."
        ),
    },
    "NamedTagEventList": {
        "": "NamedTagEventList is the history of one tag.",
        "tag": "The name of the tag.",
        "items": "The images that the tag has meant, the newest first.",
        "conditions": "Why the tag is not where it should be; empty when all is well.",
    },
    "TagEvent": {
        "": "TagEvent is one image that a tag has meant, and since when.",
        "created": "When the tag began to mean the image.",
        "dockerImageReference": "Where the image can be pulled from.",
        "image": "The digest of the image; the name of its Image.",
        "generation": "The generation of the wish that this event answers.",
    },
    "TagEventCondition": {
        "": "TagEventCondition is something to know about a tag's present state.",
        "type": "What is judged; ImportSuccess is the only one yet.",
        "status": "Whether it is so: True, False or Unknown.",
        "lastTransitionTime": "When the status last changed.",
        "reason": "One word, such as NotFound, Unauthorized or InternalError.",
        "message": "What went wrong, in a sentence.",
        "generation": "The generation of the wish that was tried.",
    },
    "ImageStreamTag": {
        "": (
            "ImageStreamTag is one tag of a stream with the image that it means now. Its name is "
            "the stream's name, a colon, and the tag. Writing one changes the stream."
        ),
        "metadata": "The stream's metadata under the tag's name, with the tag's annotations.",
        "tag": "The wish for the tag; null if nobody wished for it.",
        "generation": "The generation of the newest event of the tag.",
        "lookupPolicy": "The stream's lookup policy.",
        "conditions": "Why the tag is not where it should be; empty when all is well.",
        "image": "The image that the tag means now.",
    },
    "ImageTag": {
        "": (
            "ImageTag is one tag of a stream: its wish, its history and its image, whichever of "
            "them there are. Its name is the stream's name, a colon, and the tag."
        ),
        "metadata": "The stream's metadata under the tag's name, with the tag's annotations.",
        "spec": "The wish for the tag; null if nobody wished for it.",
        "status": "The history of the tag; null if it has none.",
        "image": "The image that the tag means now; null if there is none.",
    },
    "ImageStreamImage": {
        "": (
            "ImageStreamImage is one image that a stream has had. Its name is the stream's name, "
            "@, and the image's digest, which may be cut short."
        ),
        "metadata": "The stream's metadata under the image's name.",
        "image": "The image.",
    },
    "ImageStreamMapping": {
        "": (
            "ImageStreamMapping puts an image that was pushed onto a tag of the stream that "
            "metadata.name names. It can only be created, and is not kept."
        ),
        "metadata": "Names the stream.",
        "image": "The image; it is created if there is none of that name.",
        "tag": "The tag that shall mean the image.",
    },
    "ImageStreamLayers": {
        "": "ImageStreamLayers is every blob that the images of a stream are made of.",
        "metadata": OBJECT_META,
        "blobs": "Size and media type of each blob, by digest.",
        "images": "Which blobs each image is made of, by the image's digest.",
    },
    "ImageLayerData": {
        "": "ImageLayerData is what is known of a blob.",
        "size": "The size of the blob in bytes; null if it is not known.",
        "mediaType": "The media type of the blob; may be empty.",
    },
    "ImageBlobReferences": {
        "": "ImageBlobReferences is which blobs one image is made of.",
        "imageMissing": "Whether the stream names an image that there is no more.",
        "layers": "The digests of the layers, the base first.",
        "config": "The digest of the config, if the image has one.",
        "manifests": "The digests of the manifests that an index lists.",
    },
    "SecretList": {
        "": "SecretList is the pull secrets of a stream's namespace.",
        "metadata": "The version that the list is of.",
        "items": "The secrets.",
    },
}

IMPORT_WORDS: Words = {
    "ImageStreamImport": {
        "": (
            "ImageStreamImport asks for images of registries to be imported into the stream that "
            "metadata.name names, which is made if there is none. It can only be created; the "
            "answer carries what became of each image, also where an import failed."
        ),
        "metadata": "Names the stream. A resourceVersion must be the stream's present one.",
        "spec": "What to import.",
        "status": "What became of it; set by the server.",
    },
    "ImageStreamImportSpec": {
        "": "ImageStreamImportSpec is what to import: single images, a repository, or both.",
        "import": "If false, everything is fetched and shown and nothing is kept.",
        "repository": "A whole repository: each of its tags becomes a tag of the stream.",
        "images": "Single images, each onto a tag.",
    },
    "ImageImportSpec": {
        "": "ImageImportSpec is one image to import.",
        "from": "The image, of kind DockerImage; name is its pull spec.",
        "to": (
            "The tag of the stream. If left out, the tag of the source; an image named by digest "
            "is then only shown."
        ),
        "importPolicy": _IMPORT_POLICY,
        "referencePolicy": _REFERENCE_POLICY,
        "includeManifest": "Whether the answer has the texts of manifest and config.",
    },
    "RepositoryImportSpec": {
        "": "RepositoryImportSpec is a whole repository to import.",
        "from": "The repository, of kind DockerImage; name has neither tag nor digest.",
        "importPolicy": _IMPORT_POLICY,
        "referencePolicy": _REFERENCE_POLICY,
        "includeManifest": "Whether the answer has the texts of manifests and configs.",
    },
    "ImageStreamImportStatus": {
        "": "ImageStreamImportStatus is what became of an import.",
        "import": "The stream after the import; left out if nothing was kept.",
        "repository": "What became of the repository.",
        "images": "What became of each image, in the order of the request.",
    },
    "ImageImportStatus": {
        "": "ImageImportStatus is what became of one image.",
        "status": "Success, or why the image could not be imported.",
        "image": "The image, if it was imported.",
        "tag": "The tag of the source; left out for digests.",
        "manifests": "The images of an index, where all of them were kept.",
    },
    "RepositoryImportStatus": {
        "": "RepositoryImportStatus is what became of a repository.",
        "status": "Success, or why the list of tags could not be had.",
        "images": "What became of each tag that was imported.",
        "additionalTags": "Tags of the repository that were left out because there are too many.",
    },
    "LocalObjectReference": {
        "": "LocalObjectReference is a name in the same place as whoever refers to it.",
        "name": "The name.",
    },
}
