"""Compressed Images: a worker holds some ten thousand of them in memory while an import runs."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass

from models.resources.image import Image


@dataclass(frozen=True, slots=True)
class PackedImage:
    """An Image with its name and reference readable and the rest compressed.

    `content` is empty where the store already holds the Image of that name: then only the
    reference, which contains the repository as it was requested, is new.
    """

    name: str
    reference: str
    content: bytes = b""

    @property
    def is_stored(self) -> bool:
        """Return whether the rest has to be loaded from the store."""
        return not self.content


def pack_image(image: Image) -> PackedImage:
    """Compress `image`; `unpack_image` returns an equal one."""
    text = json.dumps(image.wire(), ensure_ascii=False, separators=(",", ":"))
    content = zlib.compress(text.encode("utf-8", "replace"), 1)
    return PackedImage(image.name, image.docker_image_reference, content)


def unpack_image(packed: PackedImage) -> Image:
    """Decompress a packed Image that is not `is_stored`, with the packed reference."""
    image = Image.model_validate_json(zlib.decompress(packed.content))
    return image.replace(docker_image_reference=packed.reference)
