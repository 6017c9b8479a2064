"""How fast generated samples become bytes."""

from statistics import median

import cv2

from anomaly_gan.benchmarks.measuring import Figures, Ratio, in_turn, timed
from anomaly_gan.progress import Progress
from anomaly_gan.render.dataset import render_samples
from anomaly_gan.samples.sample import Sample, encode_png, encode_sample

SIZE_PX = 512
PICTURES = 8


def measure_encoding(repeats: int, progress: Progress) -> Figures:
    """Grey pictures of 512 px, and whole samples, encoded per second by one thread; bytes of a picture."""
    rendered = list(render_samples(normal=0, per_class=PICTURES, classes=("paper_scrap",), size=SIZE_PX))
    samples = [
        Sample(one.key, one.image, {"paper_scrap": (one.mask > 0).astype("uint8")})
        for one in rendered
        if one.mask is not None
    ]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        runs = {
            "picture": timed(lambda: [encode_png(one.image, is_photo=True) for one in samples]),
            "sample": timed(lambda: [encode_sample(one) for one in samples]),
        }
        seconds = in_turn(runs, repeats, progress)
    finally:
        cv2.setNumThreads(threads)
    rounds = {name: {"images_per_sec": [PICTURES / value for value in values]} for name, values in seconds.items()}
    rounds["picture"]["bytes"] = [float(len(encode_png(samples[0].image, is_photo=True)))] * repeats
    return Figures(rounds, {"pictures per second": Ratio(median(rounds["picture"]["images_per_sec"]), "at least 300")})
