"""An Image folded small, so that ten thousand of them fit into a worker while an import runs."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass

from models.resources.image import Image


@dataclass(frozen=True, slots=True)
class PackedImage:
    """An Image's name and reference at hand, the rest compressed.

    `content` is empty where the store already holds the Image under that name: then only the
    reference, which names the repository as it was asked for, is new.
    """

    name: str
    reference: str
    content: bytes = b""

    @property
    def is_stored(self) -> bool:
        """Whether the rest has to come from the store."""
        return not self.content


def pack_image(image: Image) -> PackedImage:
    """Fold `image`; `unpack_image` gives it back equal."""
    text = json.dumps(image.wire(), ensure_ascii=False, separators=(",", ":"))
    content = zlib.compress(text.encode("utf-8", "replace"), 1)
    return PackedImage(image.name, image.docker_image_reference, content)


def unpack_image(packed: PackedImage) -> Image:
    """The whole Image, under the packed reference. Only for one that is not `is_stored`."""
    image = Image.model_validate_json(zlib.decompress(packed.content))
    return image.replace(docker_image_reference=packed.reference)
