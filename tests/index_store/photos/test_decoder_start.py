"""Where no decoder can start, that is said at once, and no photo is blamed for it."""

from __future__ import annotations

import sys

import pytest

from index_store.errors import DecoderError
from index_store.photos.decoder_workers import decode_ahead
from index_store.records import EncodingJob, PhotoFile, PhotoInput


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "Killed"),
        ("print('a module that writes to standard output')", "exit code 0"),
    ],
)
def test_decoders_that_end_before_their_first_photo_stop_the_run(script, how):
    jobs = [EncodingJob(PhotoFile(f"/photos/{number}.jpg", 1, 1)) for number in range(100)]
    taken = []
    with pytest.raises(DecoderError, match=rf"no decoder can be started \({how}\): .* ask for fewer --jobs"):
        taken += decode_ahead(jobs, PhotoInput(8), 2, (sys.executable, "-c", script))
    assert taken == []
