"""Take the picture out of a camera RAW file: the preview that the camera embedded, else a half-size development.

The only importer of rawpy, which comes with the extra `raw`.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from index_store.errors import PhotoError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def develop(content: bytes) -> bytes:
    """Return a JPEG or PNM file made of a RAW file's content.

    Raises:
        PhotoError: rawpy is not installed, or the file is no RAW file that it knows.
    """
    try:
        import rawpy  # late: an extra, and 30 MB that only RAW files need
    except ImportError as error:
        raise PhotoError("is a camera RAW file; to read it, pip install 'imgsearch-cli[raw]'") from error
    try:
        with rawpy.imread(io.BytesIO(content)) as raw:
            try:
                preview = raw.extract_thumb()
                if preview.format == rawpy.ThumbFormat.JPEG:
                    return bytes(preview.data)
            except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
                pass
            pixels: NDArray[np.uint8] = raw.postprocess(half_size=True, use_camera_wb=True)
    except rawpy.LibRawError as error:
        raise PhotoError(f"cannot be developed: {error}") from error
    height, width, _ = pixels.shape
    picture: bytes = pixels.tobytes()
    return b"P6 %d %d 255\n" % (width, height) + picture
