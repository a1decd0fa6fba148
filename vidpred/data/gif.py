"""The structure of a GIF file, to tell a whole one from one that was cut short (GIF89a, W3C)."""

from __future__ import annotations

from typing import IO

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B


def count_images(file: IO[bytes]) -> int | None:
    """How many pictures a GIF holds, or None where its blocks do not lead to the byte that ends it."""
    header = file.read(13)
    if len(header) < 13 or header[:3] != b"GIF":
        return None
    _skip_colours(file, header[10])
    images = 0
    while block := file.read(1):
        if block[0] == _TRAILER:
            return images
        if block[0] == _IMAGE:
            descriptor = file.read(9)
            if len(descriptor) < 9:
                return None
            _skip_colours(file, descriptor[8])
            images += 1
        elif block[0] != _EXTENSION:
            return None
        file.read(1)  # the label of an extension, or the size of an image's first codes
        while length := file.read(1):
            if length[0] == 0:
                break
            file.seek(length[0], 1)
    return None


def _skip_colours(file: IO[bytes], flags: int) -> None:
    """Skips a colour table, if the highest of its flags says that there is one."""
    if flags & 0x80:
        file.seek(3 * 2 ** ((flags & 7) + 1), 1)
